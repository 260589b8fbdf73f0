"""Tells the other nodes what came, and hears it from them: NOTIFY and LISTEN, on a connection of their own.

A NOTIFY takes a lock of the whole cluster at its commit, so it is never part of a transaction that does anything else,
and its commit does not wait for the disk.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import psycopg
from psycopg import pq

from imgserve.jobs.postgres import news
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.link import PROBES
from imgserve.jobs.postgres.news import TOPICS, News, Topic
from imgserve.telemetry import logs

NAME = "imgserve signals"
CHANNEL = b"imgserve"
LISTEN = "LISTEN imgserve"
UNSYNCED = "SET synchronous_commit = off"
NOTIFY = b"SELECT pg_notify($1, $2)"
# Databases that speak PostgreSQL's protocol answer so to what they do not have.
NO_LISTEN = (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError)

# All that comes within this time is one message. The first one goes at once.
SPACING_S = 0.01
# The number of ended jobs is all that has no hurry.
TALLY_S = 1.0
POLL_S = 2.0
MIN_PAUSE_S, MAX_PAUSE_S = 0.1, 5.0
ANSWER_S = 10.0
ANYTHING = News(came={"work", "outbox", "freed", "ended", "events"})


class Signals:
    """``hear`` gets the news of other nodes. While they cannot be heard it is told from time to time that anything may
    have come. ``connected`` is called when they can be heard again. ``send`` takes messages while there is no
    connection for them.

    ``interest_s``: for so long a node wants what it has said that it wants.
    """

    def __init__(
        self, address: Address, hear: Callable[[News], None], connected: Callable[[], None],
        send: Callable[[bytes], None], interest_s: float,
    ) -> None:  # fmt: skip
        self._address = address
        self._hear = hear
        self._connected = connected
        self._send_otherwise = send
        self._jitter = random.random
        self._interest_s = interest_s
        self._loop = asyncio.get_running_loop()
        self._line: _Line | None = None
        self._outgoing = News()
        self._is_due = False
        self._tally = 0
        self._sent_at = 0.0
        self._wanted_until: dict[Topic, float] = {}
        self._told_wants: dict[Topic, float] = {}
        self._others_until = float("inf")
        self._is_alone = False  # it can tell them nothing

    async def run(self) -> None:
        """Until it is cancelled."""
        pause_s = MIN_PAUSE_S
        while True:
            try:
                async with self._line_to_database() as line:
                    if pause_s > MIN_PAUSE_S:
                        logs.event("signals_found")
                        pause_s = MIN_PAUSE_S
                    await line.until_broken()
            except NO_LISTEN as error:
                await self._poll(error)
            except (psycopg.Error, OSError, TimeoutError) as error:
                if pause_s == MIN_PAUSE_S:
                    logs.event("signals_lost", level=logs.WARNING, detail=" ".join(str(error).split()))
            await asyncio.sleep(pause_s * (0.5 + self._jitter() / 2))
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
            self._hear(ANYTHING)

    @property
    def has_others(self) -> bool:
        return self._others_until > time.monotonic() and not self._is_alone

    def note_others(self, *, are_there: bool) -> None:
        """As the table of nodes shows. A new node may have said that it is there before its row was seen."""
        soon = time.monotonic() + self._interest_s
        self._others_until = float("inf") if are_there else min(self._others_until, soon)

    def is_wanted(self, topic: Topic) -> bool:
        """Also called in the committer's thread."""
        return self._wanted_until.get(topic, 0.0) > time.monotonic()

    def want(self, topic: Topic) -> None:
        """There is a waiter for this, and until ``interest_s`` is over the others tell what comes."""
        now = time.monotonic()
        if self._told_wants.get(topic, 0.0) < now - self._interest_s / 2:
            self._told_wants[topic] = now
            self.tell_soon().wants.add(topic)

    def tell_soon(self) -> News:
        """The next message, for the caller to add to."""
        if not self._is_due and self.has_others:
            self._is_due = True
            left_s = self._sent_at + SPACING_S - time.monotonic()
            if left_s > 0:
                self._loop.call_later(left_s, self._send)
            else:
                self._loop.call_soon(self._send)
        return self._outgoing

    def tell_end(self) -> None:
        self._tally += 1
        if self._tally == 1:
            self._loop.call_later(TALLY_S, self._tell_tally)

    async def tell_last(self) -> None:
        """This node leaves: the others look at once what it left."""
        if self._line is not None and self.has_others:
            with contextlib.suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._line.idle.wait()
                    self._line.send(news.encode(News(is_leaving=True)))
                    await self._line.idle.wait()

    def _tell_tally(self) -> None:
        self.tell_soon().ends += self._tally
        self._tally = 0

    def _send(self) -> None:
        self._is_due = False
        if not self._outgoing or (self._line is not None and not self._line.idle.is_set()):
            return
        outgoing, self._outgoing = news.divided(self._outgoing)
        if self.has_others or outgoing.is_new:
            self._sent_at = time.monotonic()
            send = self._send_otherwise if self._line is None else self._line.send
            send(news.encode(outgoing))
        if self._outgoing and self._line is None:
            self.tell_soon()

    def _sent(self) -> None:
        if self._outgoing:
            self.tell_soon()

    @contextlib.asynccontextmanager
    async def _line_to_database(self) -> "AsyncIterator[_Line]":
        conninfo = self._address.conninfo(is_direct=True)
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, application_name=NAME)
        try:
            async with asyncio.timeout(ANSWER_S):
                for statement in (PROBES, UNSYNCED, LISTEN):
                    await connection.execute(statement)
            with contextlib.closing(_Line(connection.pgconn, self._loop, self._heard, self._sent)) as line:
                self._line = line
                self._others_until = max(self._others_until, time.monotonic() + self._interest_s)
                self._outgoing.is_new = True
                self._outgoing.came |= TOPICS
                self._send()
                self._hear(News(came=set(TOPICS)))
                self._connected()
                yield line
        finally:
            self._line = None
            await connection.close()

    async def _poll(self, error: psycopg.Error) -> None:
        detail = f"the database knows no LISTEN, so the queue is read every {POLL_S:g} s: {error.diag.message_primary}"
        logs.event("signals_missing", level=logs.WARNING, detail=detail)
        self._is_alone = True
        while True:
            await asyncio.sleep(POLL_S)
            self._hear(ANYTHING)

    def _heard(self, text: bytes) -> None:
        try:
            heard = news.decode(text)
        except msgspec.DecodeError as error:
            logs.event("signal_unreadable", level=logs.WARNING, detail=str(error))
            return
        if heard.is_new:
            self._told_wants.clear()  # it has heard of none
        was_alone = not self.has_others
        self._others_until = max(self._others_until, time.monotonic() + self._interest_s)
        # It has missed what was not told while it was not known, or was not known to want it.
        missed = set(TOPICS) if was_alone else {topic for topic in heard.wants if not self.is_wanted(topic)}
        self._wanted_until |= dict.fromkeys(heard.wants, time.monotonic() + self._interest_s)
        if missed:
            self.tell_soon().came |= missed
        self._hear(heard)


class _Line:
    """The conversation on one connection: statements go out, and notifications of others come in."""

    def __init__(
        self, pgconn: pq.abc.PGconn, loop: asyncio.AbstractEventLoop, hear: Callable[[bytes], None],
        sent: Callable[[], None],
    ) -> None:  # fmt: skip
        self._pgconn = pgconn
        self._loop = loop
        self._hear = hear
        self._sent = sent
        self._broken: asyncio.Future[None] = loop.create_future()
        self.idle = asyncio.Event()
        self.idle.set()
        pgconn.nonblocking = 1
        self._socket = pgconn.socket  # libpq forgets it when it is lost
        loop.add_reader(self._socket, self._guarded, self._read)

    async def until_broken(self) -> None:
        """Raises psycopg.Error."""
        await self._broken

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    def send(self, text: bytes) -> None:
        self.idle.clear()
        self._guarded(lambda: self._pgconn.send_query_params(NOTIFY, [CHANNEL, text]))
        self._guarded(self._flush)

    def _flush(self) -> None:
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._guarded, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        self._pgconn.consume_input()
        while (notification := self._pgconn.notifies()) is not None:
            if notification.be_pid != self._pgconn.backend_pid:
                self._hear(notification.extra)
        while not self.idle.is_set() and not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                self.idle.set()
                self._sent()
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.OperationalError(result.error_message.decode(errors="replace"))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except psycopg.Error as error:
            self.close()
            if not self._broken.done():
                self._broken.set_exception(error)
