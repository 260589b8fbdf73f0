"""Rows of uploaded pictures, which say how long each is kept. Called inside transactions.

A row is there before the first byte of its picture and until the last one is deleted, whatever ends in between:

    coming -> kept -> going -> (no row)
       └────────────────┘

A picture that no job has taken in time goes, and one whose deletion was not finished is deleted again.
"""

from collections.abc import Iterable
from contextlib import suppress

from imgserve.jobs.faults import SourceGone
from imgserve.jobs.model import KEEP_UPLOAD_S, NewJob
from imgserve.jobs.protocol import KeptUpload, UploadBytes
from imgserve.jobs.sql.database import Database, Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_source
from imgserve.request.source import upload_id_of

SQL = load("uploads")

# At a time: no other change waits for more of them.
MOST_RELEASED = 200
# From the first byte of a picture to its job's row, which a request has long given up by then.
COMING_S = 3600.0
# For a server to delete pictures, before another one tries.
GOING_S = 60.0


def reserve(db: Database, upload: KeptUpload, now: float) -> None:
    now = db.time(now)
    db.execute(SQL["reserve"], (upload.id, upload.principal, upload.size_bytes, b"", now, now + COMING_S))


def resize(db: Database, upload_id: str, size_bytes: int) -> None:
    db.execute(SQL["resize"], (size_bytes, upload_id))


def add(db: Database, number: int, job: NewJob) -> None:
    """Keep the picture of a job that brought one. Raises SourceGone."""
    source = job.source
    if source.is_upload:
        upload_id, sha256 = upload_id_of(source), bytes.fromhex(source.digest or "")
        values = (number, job.principal, job.source_bytes or 0, sha256, upload_id)
        if not db.execute(SQL["add"], values).fetchone():
            raise SourceGone("the picture came too long ago, and is not kept any more", "post the job anew")


def kept(db: Reader) -> tuple[KeptUpload, ...]:
    return tuple(KeptUpload(*row) for row in rows(db, SQL["kept"]))


def size(db: Reader, principal: str) -> UploadBytes:
    return UploadBytes(*db.execute(SQL["bytes"], (principal,)).get)


def drop(db: Database, upload_id: str, now: float) -> bool:
    """False: a job has it."""
    db.execute(SQL["drop"], (db.time(now) + GOING_S, upload_id))
    return not db.execute(SQL["is_needed"], (upload_id,)).get


def release(db: Database, now: float) -> tuple[str, ...]:
    """The ids of those that are to be deleted. ``MOST_RELEASED`` at most."""
    now = db.time(now)
    values = (now + GOING_S, now - KEEP_UPLOAD_S, now, MOST_RELEASED)
    return tuple(upload_id for (upload_id,) in rows(db, SQL["release"], values))


def forget(db: Database, upload_ids: Iterable[str]) -> None:
    db.executemany(SQL["forget"], [(upload_id,) for upload_id in upload_ids])


def check_source(db: Database, stored: bytes) -> None:
    """``stored``: a job's source. Raises SourceGone."""
    with suppress(*UNREADABLE):
        source = decode_source(stored)
        if source.is_upload and not db.execute(SQL["is_kept"], (upload_id_of(source),)).get:
            detail = "the picture came with the request, and was kept for a day after the job had failed"
            raise SourceGone(detail, "post the job anew, with the picture")
