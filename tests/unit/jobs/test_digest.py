"""What names a request for adoption: a job that one version left unanswered is found by the next one's same post."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from imgserve.jobs.digest import digest_of
from imgserve.request.classic.parse import parse
from imgserve.request.native_job import parse_job
from imgserve.request.source import received

EX = "http://192.168.1.10/wikipedia/en/7/70/Ex.png"
SIZE = {"width": 200, "height": 120}


# As 0.4.0 computed them.
@pytest.mark.parametrize(
    ("job", "digest"),
    [
        (
            {
                "operationType": "resize", "srcURL": EX,
                "dstURL": "ftp://192.168.1.10/wikipedia/en/7/70/{$width}-{$basename}.{$ext}", "args": SIZE,
            },
            "f6bf4cdd6fa3172d92bd18ebdb45e0e7",
        ),
        (
            {
                "operationType": "resize", "srcURL": EX,
                "dstURL": "http://192.168.1.10/upload.html:{$width}-{$basename}.{$ext}",
                "args": {**SIZE, "field_name": "image_file"},
            },
            "9b7b0f9991ad8face691114d2a6151f8",
        ),
        (
            {
                "operationType": "rasterize", "srcURL": "file:///srv/a.svg",
                "dstURL": "https://host.test/a.webp?X-Amz-Signature=1",
                "args": {"width": 64, "method": "PUT", "quality": 70},
                "placeholder": {"style": "none"}, "on_failure": "keep_placeholder",
            },
            "76bd5db30cb756833051a600fd775c99",
        ),
    ],
)  # fmt: skip
def test_a_request_has_the_digest_that_it_always_had(job: dict[str, object], digest: str) -> None:
    assert digest_of("@shop", parse(json.dumps(job).encode())).hex() == digest


def test_the_usual_gravity_has_the_same_digest_if_it_is_written() -> None:
    job = {"operationType": "resize", "srcURL": EX, "dstURL": "file:///a.png"}
    plain, written = ({**job, "args": {**SIZE, **more}} for more in ({}, {"gravity": "center"}))
    assert digest_of("@shop", parse(json.dumps(plain).encode())) == digest_of(
        "@shop", parse(json.dumps(written).encode())
    )


NATIVE: dict[str, Any] = {
    "source": EX,
    "outputs": [
        {"name": "card", "destination": "https://cdn.test/{$name}.{$ext}", "operations": [{"operation": "flip"}]},
        {
            "destination": {"url": "ftp://h/{$width}.webp"}, "encode": {"quality": 3}, "on_failure": "delete",
            "placeholder": {"style": "solid", "if_exists": "keep"},
        },
    ],
    "priority": "high", "not_before": "2026-12-01T00:00:00Z", "deadline_s": 600, "metadata": {"a": "b", "c": "d"},
}  # fmt: skip


def native(**changes: object) -> str:
    return digest_of("@shop", parse_job(NATIVE | changes, now=1_796_000_000.0)).hex()


def test_a_native_job_keeps_its_digest() -> None:
    assert native() == "3a9ae923f144322013e9d666b6dce881"
    assert native(metadata={"c": "d", "a": "b"}, not_before="2026-12-01T01:00:00+01:00", deadline_s=600.0) == native()
    usual = {"name": "1", "operations": [], "load": {"page": 0, "dpi": 72}}
    flip = {"load": {}, "encode": {"background": "#FFF", "chroma": "auto"}, "placeholder": "text"}
    assert native(outputs=[NATIVE["outputs"][0] | flip, NATIVE["outputs"][1] | usual]) == native()


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (None, "source", f"{EX}x"),
        (None, "source", {"url": EX, "headers": {"X-A": "1"}}),
        (None, "source", {"url": EX, "credential": "storage"}),
        (None, "source", {"url": EX, "digest": f"sha256:{'0' * 64}"}),
        (None, "webhook", "https://shop.test/hook"),
        (None, "priority", "low"),
        (None, "not_before", "2026-12-01T00:00:01Z"),
        (None, "deadline_s", 601),
        (None, "metadata", {"a": "b", "c": "e"}),
        (0, "name", "page"),
        (0, "destination", "https://cdn.test/{$name}.{$source_ext}"),
        (0, "destination", {"url": "https://cdn.test/{$name}.{$ext}", "headers": {"X-A": "1"}}),
        (0, "operations", []),
        (1, "encode", {"quality": 4}),
        (1, "on_failure", "error_image"),
        (1, "placeholder", {"style": "solid"}),
        (1, "placeholder", {"style": "text", "if_exists": "keep"}),
    ],
)
def test_every_field_of_a_native_job_counts(place: int | None, field: str, value: object) -> None:
    outputs = [dict(output) for output in NATIVE["outputs"]]
    if place is not None:
        outputs[place][field] = value
    changed = native(outputs=outputs) if place is not None else native(**{field: value})
    assert changed != native()


def test_an_uploaded_picture_counts_by_its_bytes() -> None:
    def digest(part: str, upload_id: str, sha256: bytes) -> bytes:
        request = parse_job(NATIVE | {"source": {"upload": part}}, now=1_796_000_000.0, has_parts=True)
        return digest_of("@shop", replace(request, source=received(request.source, upload_id, sha256)))

    same = digest("a.jpg", "0" * 32, bytes(32))
    assert digest("a.jpg", "1" * 32, bytes(32)) == same
    assert digest("a.jpg", "0" * 32, b"1" * 32) != same
    assert digest("b.jpg", "0" * 32, bytes(32)) != same


def test_the_same_job_in_both_protocols_is_two() -> None:
    classic = {
        "operationType": "resize",
        "srcURL": EX,
        "dstURL": "ftp://h/a.png",
        "args": {"width": 3, "if_small": "keep"},
    }
    outputs = [{"destination": "ftp://h/a.png", "operations": [{"operation": "resize", "width": 3}]}]
    assert native(outputs=outputs) != digest_of("@shop", parse(json.dumps(classic).encode())).hex()
