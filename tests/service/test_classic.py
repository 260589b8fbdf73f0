"""The original protocol, spoken to the real server: its two published examples, every code, every tag."""

from pathlib import Path

import numpy as np
import pytest
from examples.receivers import Behaviour, HttpReceiver
from PIL import Image

from imgserve.request.classic.codes import MEANING
from tests.service.conftest import World, opened
from tests.support.daemon import wait_until
from tests.support.pictures import scene

KNOWN_ELSEWHERE = {
    203: "here below, with enlarge",
    207: "tests/service/test_on_demand.py",
    301: "tests/service/test_doors.py and tests/chaos",
    302: "tests/service/test_doors.py",
}


def job(world: World, **changes: object) -> dict[str, object]:
    """A good job; a change to None takes the key out."""
    good: dict[str, object] = {
        "operationType": "resize",
        "srcURL": f"{world.http.url}/Ex.png",
        "dstURL": f"{world.ftp.url}/{{$width}}-{{$basename}}.{{$ext}}",
        "args": {"width": 200, "height": 120},
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def is_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image.convert("RGB")).astype(int)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).max() <= 4)


def test_first_published_example(world: World) -> None:
    reply = world.server.post(job(world))
    assert reply.body == {"dstURL": f"{world.ftp.url}/200-Ex.png"}
    assert reply.status == 200
    assert len(reply.headers["x-imgserve-job"]) == 32
    place = world.ftp.directory / "200-Ex.png"
    wait_until(lambda: not is_grey(opened(place.read_bytes())))
    final = opened(place.read_bytes())
    expected = scene(400, 300).resize((200, 150), Image.Resampling.LANCZOS).crop((0, 15, 200, 135))
    assert (final.format, final.size) == ("PNG", (200, 120))
    distance = np.abs(np.asarray(final.convert("RGB")).astype(int) - np.asarray(expected).astype(int)).mean()
    assert distance < 2


def test_second_published_example(world: World) -> None:
    page = f"{world.http.url}/upload.html:{{$width}}-{{$basename}}.{{$ext}}"
    args = {"width": 200, "height": 120, "field_name": "image_file"}
    reply = world.server.post(job(world, dstURL=page, args=args))
    assert reply.body == {"dstURL": f"{world.http.url}/upload.html:200-Ex.png"}
    wait_until(lambda: [event.state for event in world.http.log.of("POST")] == ["placeholder", "final"])
    assert {event.name for event in world.http.log.of("POST")} == {"200-Ex.png"}
    final = opened((world.http.directory / "uploads" / "200-Ex.png").read_bytes())
    assert (final.format, final.size) == ("PNG", (200, 120))
    assert not is_grey(final)


def test_placeholder_is_there_before_the_reply(world: World) -> None:
    target = f"{world.http.url}/put/now.webp"
    reply = world.server.post(job(world, dstURL=target, args={"width": 90, "height": 70, "method": "PUT"}))
    puts = [event for event in world.http.log.of("PUT") if event.name == "/put/now.webp"]
    assert reply.body == {"dstURL": target}
    assert puts[0].state == "placeholder"
    wait_until(lambda: [e.state for e in world.http.log.of("PUT") if e.name == "/put/now.webp"][1:] == ["final"])
    final = opened((world.http.directory / "put" / "now.webp").read_bytes())
    assert (final.format, final.size) == ("WEBP", (90, 70))


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "gif", "tif", "avif", "JPEG"])
def test_placeholder_and_result_have_the_same_format_and_size(world: World, extension: str) -> None:
    name = f"same.{extension}"
    seen: list[tuple[str | None, tuple[int, int], bool]] = []
    place = world.write_root / name
    reply = world.server.post(job(world, dstURL=f"file://{place}", args={"width": 123, "height": 45}))
    assert reply.body == {"dstURL": f"file://{place}"}
    wait_until(lambda: not is_grey(opened(place.read_bytes())))
    image = opened(place.read_bytes())
    seen.append((image.format, image.size, is_grey(image)))
    formats = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}
    assert seen == [(formats.get(extension.lower(), extension.upper()), (123, 45), False)]


def test_rasterize(world: World) -> None:
    place = world.write_root / "icon.png"
    source = f"{world.ftp.url}/icon.svg"
    args = {"width": 80, "height": 80}
    reply = world.server.post(job(world, operationType="rasterize", srcURL=source, dstURL=f"file://{place}", args=args))
    assert reply.body == {"dstURL": f"file://{place}"}
    wait_until(lambda: opened(place.read_bytes()).convert("RGBA").getpixel((40, 40)) == (0, 255, 0, 255))
    image = opened(place.read_bytes()).convert("RGBA")
    assert image.size == (80, 80)
    assert [image.getpixel((40, y))[3] for y in (5, 40, 75)] == [0, 255, 0]  # type: ignore[index]


def test_one_side_follows_the_shape(world: World) -> None:
    reply = world.server.post(
        job(world, dstURL=f"file://{world.write_root}/{{$width}}x{{$height}}.png", args={"width": 100})
    )
    assert reply.body == {"dstURL": f"file://{world.write_root}/100x75.png"}


def test_enlarge_lifts_203(world: World) -> None:
    place = f"file://{world.write_root}/large.png"
    args = {"width": 401, "height": 100}
    assert world.server.post(job(world, dstURL=place, args=args)).body["code"] == 203
    assert world.server.post(job(world, dstURL=place, args={**args, "enlarge": True})).body == {"dstURL": place}


BAD: list[tuple[int, dict[str, object]]] = [
    (101, {"args": None}),
    (101, {"extra": 1}),
    (101, {"webhook": "http://example.com/"}),
    (102, {"operationType": "explode"}),
    (103, {"args": [200, 120]}),
    (104, {"srcURL": "no url"}),
    (105, {"dstURL": ""}),
    (106, {"args": {}}),
    (107, {"args": {"width": "wide"}}),
    (107, {"args": {"width": 200, "blur": 900}}),
    (108, {"operationType": "rasterize"}),
    (109, {"srcURL": "gopher://example.com/x.png"}),
    (110, {"dstURL": "gs://bucket/x.png"}),
    (111, {"dstURL": "http://example.com/x.png"}),
    (112, {"dstURL": "http://example.com/x.png", "args": {"width": 2, "field_name": 7}}),
    (113, {"dstURL": "ftp://example.com/x.bmp"}),
    (114, {"dstURL": "ftp://example.com/{$colour}.png"}),
    (115, {"srcURL": "http://10.0.0.1/x.png"}),
    (115, {"srcURL": "file:///etc/passwd.png"}),
    (116, {"dstURL": "ftp://169.254.169.254/x.png"}),
    (116, {"dstURL": "file:///etc/x.png"}),
    (201, {"srcURL": "http://no-such-host.invalid/x.png"}),
    (201, {"srcURL": "{http}/absent.png"}),
    (202, {"srcURL": "{http}/broken.png"}),
    (
        204,
        {
            "operationType": "rasterize",
            "srcURL": "{http}/words.svg",
            "dstURL": "{http}:x.png",
            "args": {"width": 2, "field_name": "f"},
        },
    ),
    (205, {"dstURL": "ftp://no-such-host.invalid/x.png"}),
    (205, {"dstURL": "{http}/refused/x.png", "args": {"width": 20, "height": 20, "method": "PUT"}}),
    (206, {"srcURL": "{http}/vast.png"}),
]


@pytest.mark.parametrize(("code", "changes"), BAD, ids=[f"{code}-{n}" for n, (code, _) in enumerate(BAD)])
def test_each_code(world: World, code: int, changes: dict[str, object]) -> None:
    world.http.behave("/refused", Behaviour(status=403))
    if code == 206:
        Image.new("L", (12_000, 12_000)).save(world.http.directory / "vast.png")
    filled = {k: v.replace("{http}", world.http.url) if isinstance(v, str) else v for k, v in changes.items()}
    bad = {**job(world), **filled}
    reply = world.server.post({key: value for key, value in bad.items() if value is not None})
    assert reply.status == 200
    assert (reply.body["msg"], reply.body["code"]) == ("request invalid", code)
    assert set(reply.body) == {"msg", "code", "detail"}
    assert str(reply.body["detail"]).strip()


def test_every_code_has_its_test() -> None:
    assert {code for code, _ in BAD} | set(KNOWN_ELSEWHERE) == set(MEANING)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"null"])
def test_parse_error_has_exactly_one_key(world: World, body: bytes) -> None:
    reply = world.server.post(body)
    assert (reply.status, reply.body) == (200, {"msg": "request parse error"})


def test_source_and_destination_must_differ(world: World) -> None:
    link = world.write_root / "linked.png"
    link.unlink(missing_ok=True)
    link.hardlink_to(world.read_root / "Ex.png")
    before = link.read_bytes()
    reply = world.server.post(job(world, srcURL=f"file://{world.read_root}/Ex.png", dstURL=f"file://{link}"))
    assert reply.body["code"] == 116
    assert (world.read_root / "Ex.png").read_bytes() == before


def test_a_failing_job_gets_its_failure_picture(world: World, tmp_path: Path) -> None:
    """The header is good, so the job is accepted; the pixels are not, so it fails."""
    whole = (world.http.directory / "photo.jpg").read_bytes()
    (world.http.directory / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    reply = world.server.post(
        job(
            world, srcURL=f"{world.http.url}/cut.jpg", dstURL=f"{world.http.url}/put/failed.png",
            args={"width": 200, "height": 120, "method": "PUT"},
        )
    )  # fmt: skip
    assert "dstURL" in reply.body

    def states() -> list[str]:
        return [event.state for event in world.http.log.of("PUT") if event.name == "/put/failed.png"]

    wait_until(lambda: states() == ["placeholder", "failed"])
    image = opened((world.http.directory / "put" / "failed.png").read_bytes())
    assert (image.format, image.size, is_grey(image)) == ("PNG", (200, 120), True)


def test_on_failure_delete(world: World) -> None:
    whole = (world.http.directory / "photo.jpg").read_bytes()
    (world.http.directory / "cut2.jpg").write_bytes(whole[: len(whole) // 2])
    place = world.write_root / "gone.png"
    reply = world.server.post(
        job(world, srcURL=f"{world.http.url}/cut2.jpg", dstURL=f"file://{place}", on_failure="delete")
    )
    assert "dstURL" in reply.body
    wait_until(lambda: not place.exists())


def test_placeholder_none_writes_nothing_first(world: World) -> None:
    name = "/put/bare.png"
    args = {"width": 50, "height": 50, "method": "PUT"}
    world.server.post(job(world, dstURL=world.http.url + name, args=args, placeholder="none"))
    wait_until(lambda: [event.state for event in world.http.log.of("PUT") if event.name == name] == ["final"])


def test_a_small_source_is_fetched_once(world: World) -> None:
    (world.http.directory / "once.png").write_bytes((world.http.directory / "Ex.png").read_bytes())
    name = "/put/once.png"
    args = {"width": 50, "height": 50, "method": "PUT"}
    world.server.post(job(world, srcURL=f"{world.http.url}/once.png", dstURL=world.http.url + name, args=args))
    wait_until(lambda: len([event for event in world.http.log.of("PUT") if event.name == name]) == 2)
    assert len([event for event in world.http.log.of("GET") if event.name == "/once.png"]) == 1


def test_an_unanswered_placeholder_sends_the_final_twice(world: World, tmp_path: Path) -> None:
    args = {"width": 50, "height": 50, "method": "PUT"}
    with HttpReceiver(tmp_path) as silent:  # its own: on a connection that was used before, libcurl itself asks again
        silent.behave("/x", Behaviour(cut=True, times=1, kinds=("PUT",)))
        reply = world.server.post(job(world, dstURL=f"{silent.url}/x.png", args=args))
        assert reply.body == {"dstURL": f"{silent.url}/x.png"}
        assert silent.log.wait_for(lambda events: len([e for e in events if e.kind == "PUT"]) == 3)
        assert [event.state for event in silent.log.of("PUT")] == ["placeholder", "final", "final"]


def test_a_placeholder_is_no_source(world: World) -> None:
    """A job whose source is another job's placeholder waits for the picture instead of shrinking the grey."""
    held = "/put/held.png"
    args = {"width": 60, "height": 60, "method": "PUT"}
    world.server.post(job(world, dstURL=world.http.url + held, args=args))
    first = next(event for event in world.http.log.of("PUT") if event.name == held)
    wait_until(lambda: len([event for event in world.http.log.of("PUT") if event.name == held]) == 2)
    picture = (world.http.directory / "put" / "held.png").read_bytes()
    world.server.post(job(world, dstURL=world.http.url + "/put/again.png", args=args))
    second = next(event for event in world.http.log.of("PUT") if event.name == "/put/again.png")
    assert second.digest == first.digest
    grey = world.http.directory / "chained.png"
    captured = _placeholder_bytes(world)
    grey.write_bytes(captured)
    world.server.post(
        job(world, srcURL=f"{world.http.url}/chained.png", dstURL=f"file://{world.write_root}/chained.png",
            args={"width": 30, "height": 30})
    )  # fmt: skip
    wait_until(lambda: "source_is_placeholder" in world.server.log)
    grey.write_bytes(picture)
    wait_until(lambda: not is_grey(opened((world.write_root / "chained.png").read_bytes())))


def _placeholder_bytes(world: World) -> bytes:
    """The bytes of a 60 x 60 PNG placeholder: a job that cannot render keeps it."""
    whole = (world.http.directory / "photo.jpg").read_bytes()
    (world.http.directory / "cut3.jpg").write_bytes(whole[: len(whole) // 2])
    place = world.write_root / "kept.png"
    reply = world.server.post(
        job(world, srcURL=f"{world.http.url}/cut3.jpg", dstURL=f"file://{place}",
            args={"width": 60, "height": 60}, on_failure="keep_placeholder")
    )  # fmt: skip
    assert "dstURL" in reply.body
    return place.read_bytes()
