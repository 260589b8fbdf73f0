"""The data directories of earlier releases: where their servers and receivers stood, and what is known of each job.

``record`` makes one from the imgserve that is installed; the upgrade test starts the imgserve of today on each.
Destinations are absolute, so both use one place of the machine, one process at a time.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.lane import Address, Kind

DATA = Path(__file__).with_name("data")
TOP = Path("/tmp/imgserve-released")
ADDRESS = Address("127.86.4.1", 8680, 8681, 8621)
KEYS = {"shop": "the-shops-secret-key", "blog": "the-blogs-secret-key"}
KEY_FILE = "keys"
KEPT = ("data", "file", "ftp", "web", KEY_FILE)


class Job(msgspec.Struct, frozen=True):
    """A recorded job. ``state`` is its status and what its destination is owed at the recording; ``ends`` the status

    and ``shows`` the picture at the destination once a later version has finished it: the word for its kind and the
    job that drew it, or nothing. ``adopted``: the same post again must be answered as this job.
    """

    name: str
    kind: Kind
    number: int
    key: str
    id: str
    body: dict[str, Any]
    state: str
    ends: str
    shows: tuple[str, int] | None
    is_adopted: bool = False


class Record(msgspec.Struct, frozen=True):
    version: str
    recorded_at: float
    jobs: tuple[Job, ...]


def releases() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in DATA.glob("*/jobs.json")))


def record_of(version: str) -> Record:
    return msgspec.json.decode((DATA / version / "jobs.json").read_bytes(), type=Record)


@contextmanager
def place() -> Iterator[Path]:
    """The one place, empty, for one process at a time."""
    with TOP.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(TOP, ignore_errors=True)
        TOP.mkdir(mode=0o700)
        try:
            yield TOP
        finally:
            shutil.rmtree(TOP, ignore_errors=True)


def write_keys(top: Path) -> Path:
    path = top / KEY_FILE
    path.write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
    return path
