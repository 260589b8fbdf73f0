"""Which places are one: what locks, order and superseding go by."""

from pathlib import Path

from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers


def at(path: Path) -> Destination:
    return parse_destination(f"file://{path}", {}).fill(tags.EXAMPLE)


async def test_a_file_is_known_by_the_real_path_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    transfers = Transfers(Config(write_roots=(str(tmp_path),)), Limits())
    keys = [
        (await transfers.with_real_key(at(tmp_path / name), "")).key
        for name in ("v1/a.png", "current/a.png", "v1/b.png")
    ]
    await transfers.aclose()
    assert keys[0] == keys[1]
    assert keys[0].endswith("/v1/a.png")
    assert keys[2] != keys[0]
