"""The server's side of a template: a process that forks workers in 3 ms, where exec takes 85. For ``starter.py``.

A template never sees a picture, so the memory that its children share with it holds nobody's data. When it ends, its
children end with it. ``worker/template.py`` is the template's own side.
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections import deque

from imgserve.imaging import wire
from imgserve.imaging.messages import TEMPLATE, CannotStart, Ready, Reply
from imgserve.imaging.process import (
    START_TIMEOUT_S,
    CannotStartWorker,
    Child,
    Forked,
    WorkerOptions,
    cannot_start,
    last_words,
    made_ready,
    spawn,
    stderr_kept,
)

_ORDER = b"f"
_ANSWER = struct.Struct("!I")
_ANSWER_TIMEOUT_S = 5.0
# The kernel counts the descriptors that are on their way against the template's own limit of them, which is 32.
_MOST_ORDERS = 8


class TemplateFailed(Exception):
    """It forks no more: it has ended, does not answer, or has a thread that a child would hang on."""


class Template:
    """Made by :func:`start_template`. ``forks``: how many workers were ordered of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", orders: socket.socket) -> None:
        self.pid = process.pid
        self.forks = 0
        self.is_alive = True
        self._process = process
        self._orders = orders
        self._loop = asyncio.get_running_loop()
        self._word: asyncio.Future[bytearray] = self._loop.create_future()
        self._answers: deque[asyncio.Future[tuple[int, int]]] = deque()
        self._room = asyncio.Semaphore(_MOST_ORDERS)
        self._reaped: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(orders.fileno(), self._read)

    async def first_word(self) -> Reply | None:
        """Its first message: that it is ready, or why it cannot be. Raises TemplateFailed, BrokenFrame."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return wire.take(await self._word, wire.REPLIES)
        except TimeoutError:
            raise TemplateFailed("it does not get ready") from None

    @property
    def is_reaped(self) -> bool:
        return self._reaped.done()

    async def reaped(self) -> None:
        """Wait until the process is gone and its entry in the process table too."""
        await asyncio.shield(self._reaped)

    async def fork(self) -> Child:
        """A worker that is locked in. Raises TemplateFailed, CannotStartWorker."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise cannot_start(error) from error
        ours.setblocking(False)
        try:
            async with self._room:
                pid, pidfd = await self._order(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.forks += 1
        child = Child(Forked(pid), ours, pidfd)
        return await made_ready(child, lambda: "a forked worker ended without a word")

    async def _order(self, theirs: socket.socket) -> tuple[int, int]:
        if not self.is_alive:
            raise TemplateFailed("it has ended")
        answer: asyncio.Future[tuple[int, int]] = self._loop.create_future()
        try:
            socket.send_fds(self._orders, [_ORDER], [theirs.fileno()])
        except OSError as error:
            raise TemplateFailed(f"it takes no order: {error.strerror}") from error
        self._answers.append(answer)
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                pid, pidfd = await asyncio.shield(answer)
        except TimeoutError:
            self.close()
            raise TemplateFailed("it does not answer") from None
        except asyncio.CancelledError:
            answer.add_done_callback(_end_unwanted)
            raise
        if pid == 0:
            raise TemplateFailed("it has more than one thread")
        return pid, pidfd

    def _read(self) -> None:
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._orders, wire.MAX_FRAME_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data and not self._word.done():
            self._word.set_result(bytearray(data))
        elif len(data) == _ANSWER.size and self._answers:
            self._take_answer(int(_ANSWER.unpack(data)[0]), descriptors)
        else:
            self.close()

    def _take_answer(self, pid: int, descriptors: list[int]) -> None:
        answer = self._answers.popleft()
        if answer.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif bool(pid) == bool(descriptors):
            answer.set_result((pid, descriptors[0] if descriptors else -1))
        else:
            answer.set_exception(TemplateFailed("it gave half an answer"))

    def close(self) -> None:
        """It gets no more orders, and ends with its children. Happens once."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._loop.remove_reader(self._orders.fileno())
        self._orders.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        unanswered: list[asyncio.Future[bytearray] | asyncio.Future[tuple[int, int]]] = [self._word, *self._answers]
        for answer in unanswered:
            if not answer.done():
                answer.set_exception(TemplateFailed("it has ended"))
                answer.exception()  # marks it as seen: nobody may wait for it
        self._answers.clear()

    def _reap(self) -> None:
        self._process.wait()
        self._loop.remove_reader(self._pidfd)
        self.close()
        os.close(self._pidfd)
        self._reaped.set_result(None)


def _end_unwanted(answer: "asyncio.Future[tuple[int, int]]") -> None:
    """Nobody waits any more for the worker that was ordered."""
    if answer.cancelled() or answer.exception() is not None or answer.result()[0] == 0:
        return
    pidfd = answer.result()[1]
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


async def start_template(options: WorkerOptions) -> Template:
    """Start a template and wait until it is warm and locked in. Raises CannotStartWorker.

    Must run in the main thread, as :func:`imgserve.imaging.process.start_child`.
    """
    with stderr_kept() as stderr:
        template = spawn(options, TEMPLATE, socket.SOCK_SEQPACKET, stderr, Template)
        try:
            reply = await template.first_word()
            if isinstance(reply, Ready):
                return template
            why = reply.reason if isinstance(reply, CannotStart) else "it said something unexpected"
        except (TemplateFailed, wire.BrokenFrame):
            why = last_words(stderr)
        except asyncio.CancelledError:
            template.close()
            await template.reaped()
            raise
        template.close()
        await template.reaped()
        raise CannotStartWorker(why)
