"""The pictures of uploads, from files of the data directory into the database. Called by ``move``, after their rows.

They are copied part by part in the order of their ids, and then all are compared. A file that is missing stays missing:
its job fails with ``source_lost``, as it would have done before.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import UPLOAD_PART_BYTES
from imgserve.jobs.postgres import arriving
from imgserve.jobs.postgres.arriving import ArrivingQueue
from imgserve.jobs.sqlite.leaving import LeavingQueue

# Parts of a transaction.
CHUNK_PARTS = 16
TABLE, KEY, COLUMNS = "upload_part", ("upload", "part"), ("upload", "part", "data")

Part = tuple[str, int, bytes]


def copy(file: LeavingQueue, target: ArrivingQueue, say: Callable[[str], None]) -> None:
    """What an earlier move has copied stays. Raises StorageFailing, OSError."""
    last = target.last_key(TABLE, KEY)
    for chunk in _chunks(file, say):
        if rows := [part for part in chunk if last is None or part[:2] > last]:
            target.add(TABLE, COLUMNS, rows)


def compare(file: LeavingQueue, target: ArrivingQueue) -> int:
    """The number of parts. Raises StorageFailing when one differs from its file."""
    count, after = 0, None
    for chunk in _chunks(file, lambda _: None):
        arrived = target.read(TABLE, COLUMNS, KEY, after, len(chunk))
        if arrived != chunk:
            raise _differing()
        count, after = count + len(chunk), chunk[-1][:2]
    if target.read(TABLE, COLUMNS, KEY, after, 1):
        raise _differing()
    return count


def _chunks(file: LeavingQueue, say: Callable[[str], None]) -> Iterator[list[Part]]:
    chunk: list[Part] = []
    for upload_id, path in file.pictures():
        try:
            for part in _parts(upload_id, path):
                chunk.append(part)
                if len(chunk) == CHUNK_PARTS:
                    yield chunk
                    chunk = []
        except FileNotFoundError:
            say(f"the picture {path} is missing; its job will fail with source_lost")
    if chunk:
        yield chunk


def _parts(upload_id: str, path: Path) -> Iterator[Part]:
    """At least one, if the file is empty. Raises OSError."""
    with path.open("rb") as picture:
        number, data = 0, picture.read(UPLOAD_PART_BYTES)
        while data or number == 0:
            yield upload_id, number, data
            number, data = number + 1, picture.read(UPLOAD_PART_BYTES)


def _differing() -> StorageFailing:
    return StorageFailing(
        "the pictures of uploads are not those of the data directory",
        f"drop the schema {arriving.MOVE_SCHEMA} and move again; the files are as they were",
    )
