"""The server's side of a template: a process that forks workers in 3 ms, where exec takes 85. Called by ``starter.py``.

A template never sees a picture, so its children share no principal's data with it. When it ends, its children end with
it. ``worker/template.py`` is the template's own side.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import partial

from imgserve.imaging import process, wire
from imgserve.imaging.config import Config
from imgserve.imaging.messages import TEMPLATE, Reply
from imgserve.imaging.process import Child, TemplateFailed

_ORDER = b"f"
_ANSWER = struct.Struct("!I")
_ANSWER_TIMEOUT_S = 5.0
# The kernel counts descriptors in transit against the template's own limit of them, which is 32.
_MOST_ORDERS = 8


class Template(process.Process):
    """Made by :func:`start_template`. ``forks`` counts its workers."""

    def __init__(self, pid: int, wait: Callable[[], object], orders: socket.socket) -> None:
        super().__init__(pid, wait, orders)
        self.forks = 0
        self._answers: deque[asyncio.Future[tuple[bytes, list[int]]]] = deque()
        self._room = asyncio.Semaphore(_MOST_ORDERS)

    async def first_word(self) -> Reply:
        data, _ = await self._answer(process.START_TIMEOUT_S)
        return wire.reply_in(data)

    async def fork(self) -> Child:
        """A worker that is ready. Raises TemplateFailed, CannotStartWorker."""
        with process.starting():
            ours, theirs = process.socket_pair()
        try:
            async with self._room:
                pid, pidfd = await self._order(theirs)
        except BaseException:
            ours.close()  # which ends a worker that is forked nevertheless
            raise
        finally:
            theirs.close()
        self.forks += 1
        child = Child(pid, partial(_reap, pid), ours, pidfd)
        return await process.made_ready(child, lambda: "a forked worker ended without a word")

    async def _order(self, theirs: socket.socket) -> tuple[int, int]:
        """The worker's pid and pidfd."""
        if not self.is_alive:
            raise TemplateFailed("it has ended")
        try:
            socket.send_fds(self._connection, [_ORDER], [theirs.fileno()])
        except OSError as error:
            raise TemplateFailed(f"it takes no order: {error.strerror}") from error
        data, descriptors = await self._answer(_ANSWER_TIMEOUT_S)
        pid = int(_ANSWER.unpack(data)[0]) if len(data) == _ANSWER.size else 0
        if pid == 0 or not descriptors:
            _close(descriptors)
            raise TemplateFailed("it has more than one thread")
        return pid, descriptors[0]

    async def _answer(self, timeout_s: float) -> tuple[bytes, list[int]]:
        answer: asyncio.Future[tuple[bytes, list[int]]] = self._loop.create_future()
        self._answers.append(answer)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            self.close()
            raise TemplateFailed("it does not answer") from None
        except asyncio.CancelledError:
            if not answer.cancelled() and answer.exception() is None:  # it came at the same moment
                _close(answer.result()[1])
            raise

    def _read(self) -> None:
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._connection, wire.MAX_PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        answer = self._answers.popleft() if data and self._answers else None
        if answer is not None and not answer.done():
            answer.set_result((data, descriptors))
            return
        _close(descriptors)
        if answer is None:
            self.close()

    def _fail_waiting(self, how: str) -> None:
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(TemplateFailed(f"it {how}"))
        self._answers.clear()


def _reap(pid: int) -> None:
    """The kernel reaps a forked worker, but not if the template ended first and this server became its parent."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def start_template(config: Config) -> Template:
    """Raises CannotStartWorker. Must run in the main thread, as :func:`imgserve.imaging.process.start`."""
    return await process.start(config, TEMPLATE, Template)
