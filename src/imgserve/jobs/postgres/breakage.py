"""Maps psycopg's errors to ``StorageFailing``, with the cause and the remedy."""

import psycopg
from psycopg import errors

from imgserve.jobs.faults import DiskFull, StorageFailing

# Another node was in the way; the same transaction may well succeed at once.
CONFLICTS = (
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.OutOfMemory,  # too many locks for the server's table of them
    errors.SerializationFailure,
    errors.UniqueViolation,
)
GOES_ON = "the server goes on by itself"


def storage_failing(error: Exception, what: str, place: str, after: str = GOES_ON) -> StorageFailing | None:
    """``what`` could not be done with the database at ``place``; ``after`` says what then follows its repair.

    None: the error is a bug of ours.
    """
    if isinstance(error, errors.DiskFull):
        return DiskFull(f"{what}: the disk of {place} is full", f"free disk space there; {after}")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StorageFailing(
            f"{what}: {place} is read-only",
            f"give all hosts in the queue's URL, so that the primary is found; {after}",
        )
    if isinstance(error, errors.InsufficientPrivilege | errors.InvalidAuthorizationSpecification):
        return StorageFailing(f"{what}: {_text(error)}", "give the queue's user the rights of docs/howto/scale-out.md")
    if isinstance(error, errors.UniqueViolation):
        return None  # it was tried again
    if isinstance(error, (*CONFLICTS, psycopg.OperationalError, psycopg.InterfaceError)):
        return StorageFailing(f"{what}: {_text(error)}", f"look at the database {place}; {after}")
    return None


def for_clients(failure: StorageFailing, what: str) -> StorageFailing:
    """Without the database's place and its own words, which name hosts and users."""
    return type(failure)(f"{what}: its database fails", "try again later", failure)


def _text(error: Exception) -> str:
    """In one line. libpq names hosts and users, never a password."""
    return " ".join(str(error).split())
