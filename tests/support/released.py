"""The data directories of earlier releases: where their servers and receivers stood, and what is known of each job.

``record`` makes one from the imgserve that is installed; the upgrade test starts the imgserve of today on each.
What a release has left in PostgreSQL is in ``postgresql`` beneath, with a dump in place of a data directory.
Destinations are absolute, so both use one place of the machine, one process at a time.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos.lane import Address, Kind, Lane
from tests.support.hooks import SECRET

DATA = Path(__file__).with_name("data")
TOP = Path("/tmp/imgserve-released")
ADDRESS = Address("127.86.4.1", 8680, 8681, 8621, 8682, "released")
HOOK_PORT = 8683
HOOK = f"http://{ADDRESS.host}:{HOOK_PORT}"
KEYS = {"shop": "the-shops-secret-key", "blog": "the-blogs-secret-key"}
KEY_FILE = "keys"
SECRET_FILE = "webhook-secret"
KEPT = ("data", "file", "ftp", "web", "s3", KEY_FILE, SECRET_FILE)
DUMP = "queue.sql"
SETTINGS = f"""
# goes on with the credential of the bucket
principals = ["shop"]

[credential.hook]
type = "webhook"
secret_file = "{SECRET_FILE}"
for = ["{HOOK}/"]
principals = ["shop"]
"""


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


class NativeOutput(msgspec.Struct, frozen=True):
    """``status`` at the recording; ``number`` is the one that its pictures are known by."""

    name: str
    kind: Kind
    number: int
    status: str = ""


class NativeJob(msgspec.Struct, frozen=True):
    """A job of the native API, of the principal shop; a later version brings all its outputs to their good end.

    The same request again, under its ``repeat_key`` if it has one, must be answered as this job.
    """

    name: str
    body: dict[str, Any]
    outputs: tuple[NativeOutput, ...]
    repeat_key: str = ""
    id: str = ""
    status: str = ""

    @property
    def has_upload(self) -> bool:
        return isinstance(self.body["source"], dict)


class HookMessage(msgspec.Struct, frozen=True):
    """A message that its receiver refused, of the webhook of the job ``name``."""

    name: str
    id: str
    body: str


class Record(msgspec.Struct, frozen=True):
    """``objects`` are those of the bucket, by key, with their headers of imgserve."""

    version: str
    recorded_at: float
    jobs: tuple[Job, ...]
    natives: tuple[NativeJob, ...] = ()
    messages: tuple[HookMessage, ...] = ()
    objects: dict[str, dict[str, str]] = {}


def recordings() -> tuple[str, ...]:
    """Their directories beneath ``DATA``, those of a file's queue first."""
    found = (*sorted(DATA.glob("*/jobs.json")), *sorted(DATA.glob("*/postgresql/jobs.json")))
    return tuple(str(path.parent.relative_to(DATA)) for path in found)


def record_in(directory: Path) -> Record:
    return msgspec.json.decode((directory / "jobs.json").read_bytes(), type=Record)


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


def released_lane(top: Path, queue: str = "", **switches: object) -> Lane:
    """With keys, bucket and webhooks. Files of secrets that a recording has left at ``top`` stay."""
    lane = Lane(top, address=ADDRESS, switches=switches, has_bucket=True, queue=queue)
    lane.settings.write_text(lane.settings.read_text() + SETTINGS)
    keys = top / KEY_FILE
    for path, text in ((keys, "".join(f"{name}:{key}\n" for name, key in KEYS.items())), (top / SECRET_FILE, SECRET)):
        if not path.exists():
            path.write_text(text)
    lane.daemon.arguments += ("--api-key-file", str(keys))
    return lane
