"""Rows of uploaded pictures, which say how long their files are kept. Called inside transactions.

The connection has the function ``as_text`` (``texts``), since a disk may have changed a text.
"""

from contextlib import suppress

from imgserve.jobs.faults import SourceGone
from imgserve.jobs.model import KEEP_UPLOAD_S, NewJob
from imgserve.jobs.protocol import KeptUpload
from imgserve.jobs.sql.database import Database, Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_source
from imgserve.request.source import upload_id_of

SQL = load("uploads")

# At a time: no other change waits for more of them.
MOST_RELEASED = 200


def add(db: Database, number: int, job: NewJob, now: float) -> None:
    """Keep the picture of a job that brought one."""
    source = job.source
    if source.is_upload:
        sha256 = bytes.fromhex(source.digest or "")
        db.execute(SQL["add"], (upload_id_of(source), number, job.principal, job.source_bytes or 0, sha256, now))


def kept(db: Reader) -> tuple[KeptUpload, ...]:
    return tuple(KeptUpload(*row) for row in rows(db, SQL["kept"]))


def is_kept(db: Reader, upload_id: str) -> bool:
    return bool(db.execute(SQL["is_kept"], (upload_id,)).get)


def release(db: Database, now: float) -> tuple[str, ...]:
    """The ids of those that are needed no more, whose rows are deleted. ``MOST_RELEASED`` at most."""
    return tuple(upload_id for (upload_id,) in rows(db, SQL["release"], (now - KEEP_UPLOAD_S, MOST_RELEASED)))


def check_source(db: Database, stored: bytes) -> None:
    """``stored``: a job's source. Raises SourceGone."""
    with suppress(*UNREADABLE):
        source = decode_source(stored)
        if source.is_upload and not is_kept(db, upload_id_of(source)):
            detail = "the picture came with the request, and was kept for a day after the job had failed"
            raise SourceGone(detail, "post the job anew, with the picture")
