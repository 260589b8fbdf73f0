"""Programs of others beside which imgserve runs, from the environment that ``make`` installs for them; and mounts."""

import sys
from pathlib import Path

from tests.support.daemon import Daemon

PYTHON = str(Path(sys.prefix) / "peers" / "bin" / "python")
"""The interpreter of requirements/conformance.txt."""


def mounted(top: Path, dialect: str, settings: str = "", *, workers: int = 1) -> Daemon:
    """A server that shows the files of ``top / "pictures"`` at ``/DIALECT``, unsigned. Its settings go into ``top``."""
    pictures = top / "pictures"
    pictures.mkdir(exist_ok=True)
    config = top / "imgserve.toml"
    config.write_text(
        f'read_root = ["{pictures}"]\n[get.{dialect}]\npath = "/{dialect}"\nallow_unsigned = true\n'
        f'sources = ["file://{pictures}/"]\nbase_url = "file://{pictures}/"\n{settings}'
    )
    return Daemon(top / "data", "--config", str(config), workers=workers)
