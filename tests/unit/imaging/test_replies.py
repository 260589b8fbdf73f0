"""Replies that no worker of ours gives: one that has been taken over gives any."""

import os
from collections.abc import Callable

import msgspec
import pytest

from imgserve.blob import Blob, seal_result
from imgserve.errors import FieldRef
from imgserve.imaging import wire
from imgserve.imaging.faults import WorkerDied
from imgserve.imaging.messages import Failed, Probed, Ready, Reply, TrimBox, Written
from imgserve.imaging.replies import checked_info, error_of, expect, most_bytes, part_of, take_result, take_svg
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.warning import MOST_DETAIL, MOST_WARNINGS, OutputWarning

SIZE = Size(40, 30)
LIMITS = Limits(output_pixels=12_000, frames=20)


def result(size_bytes: int, *, is_sealed: bool = True) -> Blob:
    blob = Blob()
    os.ftruncate(blob.fd, size_bytes)
    if is_sealed:
        seal_result(blob.fd)
    return blob


@pytest.mark.parametrize(
    "info",
    [
        ImageInfo("png", float("nan"), 3), ImageInfo("svg", 3, float("inf")), ImageInfo("png", -3, -3),
        ImageInfo("jpeg", 0, 3), ImageInfo("gif", 3, 3, 0), ImageInfo("gif", 3, 3, 10**9), ImageInfo("png", 1e9, 1e9),
    ],
)  # fmt: skip
def test_a_header_that_no_picture_has(info: ImageInfo) -> None:
    with pytest.raises(WorkerDied):
        checked_info(info, Limits())


@pytest.mark.parametrize(
    "info", [ImageInfo("svg", 0.01, 9e6), ImageInfo("gif", 1, 1, 256), ImageInfo("tiff", 5000, 10_000)]
)
def test_a_header_that_one_has(info: ImageInfo) -> None:
    assert checked_info(info, Limits()) == info


@pytest.mark.parametrize(
    "box",
    [
        TrimBox(-1, 0, 5, 5), TrimBox(0, -1, 5, 5), TrimBox(0, 0, 41, 5), TrimBox(0, 0, 5, 31), TrimBox(38, 0, 3, 5),
        TrimBox(0, 0, 0, 5), TrimBox(0, 5, 5, 0), TrimBox(5, 5, -3, 5), TrimBox(10**30, 0, 1, 1),
    ],
)  # fmt: skip
def test_a_part_that_the_picture_does_not_have(box: TrimBox) -> None:
    with pytest.raises(WorkerDied):
        part_of(SIZE, box)


def test_a_part_that_it_has() -> None:
    for box in (TrimBox(0, 0, 40, 30), TrimBox(39, 29, 1, 1)):
        assert part_of(SIZE, box) == (box.left, box.top, Size(box.width, box.height))


FORGED: dict[str, Callable[[], tuple[Blob, Written]]] = {
    "not sealed": lambda: (result(900, is_sealed=False), Written(SIZE, "png")),
    "empty": lambda: (result(0), Written(SIZE, "png")),
    "too long": lambda: (result(most_bytes(SIZE, "png", LIMITS) + 1), Written(SIZE, "png")),
    "another size": lambda: (result(900), Written(Size(41, 30), "png")),
    "another format": lambda: (result(900), Written(SIZE, "gif")),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_result_that_is_not_what_was_asked_for(how: str) -> None:
    blob, written = FORGED[how]()
    with blob, pytest.raises(WorkerDied):
        take_result(blob, written, SIZE, "png", LIMITS)


def test_a_result_as_it_should_be() -> None:
    with result(900) as blob:
        assert take_result(blob, Written(SIZE, "png"), SIZE, "png", LIMITS) == Written(SIZE, "png")
        assert blob.size == 900


def test_warnings_are_few_short_and_printable() -> None:
    warned = Written(SIZE, "png", 1, (OutputWarning("font_missing", "a\x1b[2J\n"),))
    with result(900) as blob:
        shown = take_result(blob, warned, SIZE, "png", LIMITS)
    assert shown.warnings == (OutputWarning("font_missing", "a[2J"),)
    most = Written(SIZE, "png", 1, (OutputWarning("font_missing", "\U0001f600" * MOST_DETAIL),) * MOST_WARNINGS)
    assert wire.reply_in(wire.packet(most)) == most
    for warnings in (most.warnings * 2, (OutputWarning("font_missing", "a" * (MOST_DETAIL + 1)),)):
        with pytest.raises(wire.BrokenPacket):
            wire.reply_in(msgspec.msgpack.encode(Written(SIZE, "png", 1, warnings)))


def test_the_bound_knows_of_frames() -> None:
    one, ten = most_bytes(SIZE, "png", LIMITS), most_bytes(SIZE, "webp", LIMITS)
    assert one < ten < 10 * one
    assert most_bytes(Size(1, 1), "gif", LIMITS) > 20 * 1024


@pytest.mark.parametrize("reply", [Ready(""), Failed("svg_invalid", "no"), Written(SIZE, "png")])
def test_another_kind(reply: Reply) -> None:
    with pytest.raises(WorkerDied):
        expect(Probed, reply)


def test_what_is_shown_of_a_detail_is_short_and_printable() -> None:
    fault = error_of(Failed("svg_invalid", "a\x1b[2J\n" + "b" * 60_000, "\x00hint"))
    assert fault.detail == "a[2J" + "b" * 494
    assert fault.hint == "hint"


def test_a_hint_names_fields_and_nothing_else() -> None:
    strict = FieldRef(("load", "strict"), False)
    reply = wire.reply_in(wire.packet(Failed("svg_invalid", "no", ("use\n ", strict))))
    assert isinstance(reply, Failed)
    assert error_of(reply).sentence() == "no (use load.strict = false)"
    names = ("a b", "a\n", "a" * 50, "A")
    odd = [(FieldRef((name,)),) for name in names] + [(FieldRef(("a",) * 9),), (FieldRef(("a",), "\x1b"),)]
    for hint in (*odd, (FieldRef(("a",)),) * 9):
        with pytest.raises(wire.BrokenPacket):
            wire.reply_in(wire.packet(Failed("svg_invalid", "no", hint)))


@pytest.mark.parametrize("size_bytes", [1, 500])
def test_an_svg_that_can_be_one(size_bytes: int) -> None:
    with result(size_bytes) as blob:
        take_svg(blob, Limits(svg_bytes=500))
        assert blob.size == size_bytes


@pytest.mark.parametrize(("size_bytes", "is_sealed"), [(0, True), (501, True), (10, False)])
def test_an_svg_that_cannot_be_one(size_bytes: int, is_sealed: bool) -> None:
    with result(size_bytes, is_sealed=is_sealed) as blob, pytest.raises(WorkerDied):
        take_svg(blob, Limits(svg_bytes=500))
