"""The keys by which a request may be sent again, and the jobs that they belong to. Called inside intake's transactions.

A key outlives its job, so that a late repeat is refused instead of carried out a second time. A refused job has none.
"""

from imgserve.jobs.faults import IdempotencyKeyReused, IdempotentJobGone
from imgserve.jobs.model import KEY_MEMORY_S, NewJob
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.queries import load

SQL = load("idempotency")


def bound_job(db: Database, job: NewJob, now: float) -> tuple[int, str] | None:
    """Number and id of the job that has the new one's key. Raises IdempotencyKeyReused, IdempotentJobGone."""
    if job.binding is None:
        return None
    row: tuple[bytes, str, int | None] | None = db.execute(
        SQL["find"], (job.binding.key, job.principal, now - KEY_MEMORY_S)
    ).fetchone()
    if row is None:
        return None
    digest, job_id, number = row
    if digest != job.binding.digest:
        raise IdempotencyKeyReused(
            f"the key belongs to job {job_id}, whose request was another one", "send a new key with a new request"
        )
    if number is None:
        raise IdempotentJobGone(f"job {job_id} of this key has ended and was deleted", "send a new key to do it again")
    return number, job_id


def bind(db: Database, job: NewJob, now: float) -> None:
    if job.binding is not None:
        db.execute(SQL["bind"], (job.binding.key, job.principal, job.binding.digest, job.id, now))


def unbind(db: Database, number: int) -> None:
    """Before the job is deleted, or when it is refused."""
    db.execute(SQL["unbind"], (number,))


def delete_old(db: Database, now: float, limit: int) -> bool:
    """Delete so many at most; whether none is left that may go."""
    db.execute(SQL["forget"], (now - KEY_MEMORY_S, limit))
    return db.changes() < limit
