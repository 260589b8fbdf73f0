"""Requests that differ in the name of an option alone are different pictures, also in the cache."""

from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.ondemand import call
from tests.support.peers import mounted
from tests.support.pictures import detailed, encoded

PAIRS = {
    "thumbor": [
        ("unsafe/60x40/filters:grayscale()/a.png", "unsafe/60x40/filters:equalize()/a.png"),
        ("unsafe/60x40/filters:brightness(20)/a.png", "unsafe/60x40/filters:contrast(20)/a.png"),
    ],
    "iiif": [("3/a.png/full/60,60/0/default.png", "3/a.png/full/!60,60/0/default.png")],
    "imgproxy": [("unsafe/bl:2/plain/a.png", "unsafe/sh:2/plain/a.png")],
}


def picture(server: Daemon, target: str) -> bytes:
    reply = call(server, None, {}, target, "GET")
    assert reply.status == 200, (target, reply)
    return reply.body


@pytest.mark.parametrize("dialect", PAIRS)
def test_names_of_options_tell_pictures_apart(tmp_path: Path, dialect: str) -> None:
    with mounted(tmp_path, dialect) as server:
        (tmp_path / "pictures" / "a.png").write_bytes(encoded(detailed(120, 80), "png"))
        for one, other in PAIRS[dialect]:
            assert picture(server, f"/{dialect}/{one}") != picture(server, f"/{dialect}/{other}")
