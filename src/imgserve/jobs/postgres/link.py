"""A connection that does not wait for ever, and what tells that it is gone."""

import logging
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

from imgserve.jobs.postgres.address import Address

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

# It repeats the errors that it raises, as warnings.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# The session is over, or leads to a database that takes no writes (any more).
_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.ReadOnlySqlTransaction,
)


class NoAnswer(psycopg.OperationalError):
    """The database stands still, or cannot be reached any more. A new connection may take as long to fail."""


# The database probes a client that has been silent for 4 s, and gives it up 6 s later. Its own times are two hours, in
# which a node that lost the network in the middle of a transaction would keep its locks: between the statements of a
# pipeline no time-out of a transaction runs.
PROBES = """
SET SESSION tcp_keepalives_idle = 4; SET SESSION tcp_keepalives_interval = 2; SET SESSION tcp_keepalives_count = 3;
SET SESSION tcp_user_timeout = 10000
"""


class Link(Connection):
    """``answer_s``: an answer that takes longer ends the connection. None: it may take any time."""

    answer_s: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """TCP alone does not notice a server that stands still: its kernel goes on confirming what comes."""
        try:
            return super().wait(gen, interval, self.answer_s if timeout is None else timeout)
        except errors._WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()
            raise NoAnswer(f"the database has not answered for {self.answer_s:g} s") from None


def connect(address: Address, answer_s: float | None = None) -> Link:
    """To the first of the hosts that takes writes. Raises psycopg.Error."""
    link = Link.connect(address.conninfo())
    link.answer_s = answer_s
    if not address.is_pooled:  # a pooler has connections of its own
        try:
            link.execute(PROBES)
            link.commit()
        except psycopg.Error:
            link.close()
            raise
    return link


def is_gone(link: Connection, error: psycopg.Error) -> bool:
    """Whether the connection is of no more use after this error."""
    return link.closed or isinstance(error, _GONE)
