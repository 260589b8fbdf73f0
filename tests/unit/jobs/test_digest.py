"""What names a request for adoption: a job that one version left unanswered is found by the next one's same post."""

import json

import pytest

from imgserve.jobs.digest import digest_of
from imgserve.request.classic.parse import parse

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
