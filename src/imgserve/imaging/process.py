"""The processes of the pool as the server sees them: started by exec, watched, killed and reaped; and a worker, which
answers one request at a time and is killed at its deadline.

Called by ``pool.py``, ``starter.py`` and ``template.py``. Everything happens on the event loop: replies arrive by a
reader on the socket, the end of the process by a reader on its pidfd. Works on asyncio's own loop and on uvloop.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from imgserve.imaging import wire
from imgserve.imaging.config import Config
from imgserve.imaging.faults import RenderTimeout, WorkerDied, too_slow
from imgserve.imaging.messages import OWN_LIBVIPS, SYSTEM_LIBVIPS, CannotStart, Ready, Reply, Request
from imgserve.telemetry.metrics import WorkerEnd

_Process = TypeVar("_Process", bound="Process")
_Type = Callable[[int, Callable[[], object], socket.socket], _Process]
START_TIMEOUT_S = 30.0
_STDERR_TAIL_BYTES = 2000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Without the server's variables, some of which may be secrets.
# libvips would put large pictures into a file, which the sandbox forbids; the memory limit holds for them instead.
_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/nonexistent", "VIPS_CONCURRENCY": "1", "VIPS_DISC_THRESHOLD": "100g"}


class CannotStartWorker(Exception):
    """A worker ended before it was ready, or refused to start. The text has the reason, for log and operator."""


class TemplateFailed(Exception):
    """A template forks no more: it has ended, does not answer, or has a second thread."""


class Process:
    """A process and the socket to it, watched by the event loop. It owns ``connection`` and ``pidfd``.

    ``wait`` removes the process from the process table when it has ended.
    """

    def __init__(
        self, pid: int, wait: Callable[[], object], connection: socket.socket, pidfd: int | None = None
    ) -> None:
        self.pid = pid
        self.is_alive = True
        self.ready = Ready("")
        self._wait = wait
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._reaped: asyncio.Future[None] = self._loop.create_future()
        self._pidfd = os.pidfd_open(pid) if pidfd is None else pidfd
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(connection.fileno(), self._read)

    def on_reaped(self, callback: Callable[[Self], object]) -> None:
        """``callback`` is called when :meth:`reaped` returns."""
        self._reaped.add_done_callback(lambda _: callback(self))

    async def reaped(self) -> None:
        """Wait until the process and its entry in the process table are gone."""
        await asyncio.shield(self._reaped)

    async def first_word(self) -> Reply:
        """The first message of a new process: that it is ready, or why it cannot be.

        Raises WorkerDied, RenderTimeout, TemplateFailed, BrokenPacket.
        """
        raise NotImplementedError

    def own_bytes(self) -> int:
        """Its memory without pages of files and of pictures (proc(5), statm); 0 if it has just ended."""
        try:
            _, resident, shared, *_ = map(int, Path(f"/proc/{self.pid}/statm").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return (resident - shared) * _PAGE_BYTES

    def close(self) -> None:
        """Kill the process. Safe to call twice; the event loop reaps it."""
        self._die("was ended")

    def _read(self) -> None:
        raise NotImplementedError

    def _fail_waiting(self, how: str) -> None:
        """The process has ended, and ``how``: raise that in the calls that wait for it."""
        raise NotImplementedError

    def _die(self, how: str) -> None:
        if not self.is_alive:
            return
        self.is_alive = False
        with contextlib.suppress(ProcessLookupError):  # it may have closed its socket and live on
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._fail_waiting(how)

    def _reap(self) -> None:
        self._wait()
        self._loop.remove_reader(self._pidfd)
        self._die("died")
        os.close(self._pidfd)
        self._reaped.set_result(None)


class Child(Process):
    """A worker process that is ready for requests. Made by :func:`start`, or forked by a template.

    ``is_retired``: it gets no more pictures. ``batch``: that of its last rendering, whose pixels it may hold.
    """

    renders = 0
    batch = 0
    is_retired = False
    end: WorkerEnd = "died"
    on_death: "Callable[[Child], None] | None" = None
    _waiting: "asyncio.Future[Reply] | None" = None

    async def first_word(self) -> Reply:
        return await self.ask(None, [], START_TIMEOUT_S)

    async def ask(self, request: Request | None, descriptors: list[int], timeout_s: float) -> Reply:
        """Send a request, if any, and wait for the worker's next message; a cancelled wait kills the worker.

        Raises WorkerDied and RenderTimeout.
        """
        if not self.is_alive:
            raise WorkerDied("the render worker had died before it was handed the picture", "try again")
        assert self._waiting is None, "a worker gets one request at a time"
        reply: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting = reply
        if request is not None:
            self._send(request, descriptors)
        deadline = self._loop.call_later(timeout_s, self._end_late, timeout_s)
        try:
            return await reply
        finally:
            deadline.cancel()
            self._waiting = None
            if not reply.done() or reply.cancelled():
                self.kill("cancelled")

    def kill(self, cause: WorkerEnd) -> None:
        """As ``close``, with a cause for the metrics."""
        if self.is_alive:
            self.end = cause
        self.close()

    def _end_late(self, timeout_s: float) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(too_slow(timeout_s))
            self.kill("deadline")

    def _send(self, request: Request, descriptors: list[int]) -> None:
        try:
            is_sent = wire.send_request(self._connection, request, descriptors)
        except OSError:
            is_sent = False
        if not is_sent:
            self._die("does not listen")

    def _read(self) -> None:
        try:
            data = self._connection.recv(wire.MAX_PACKET_BYTES)
            reply = wire.reply_in(data) if data else None
        except BlockingIOError:
            return
        except (OSError, wire.BrokenPacket):
            self._die("broke its connection")
            return
        if reply is None:
            self._die("ended")
        elif self._waiting is None or self._waiting.done():
            self.kill("fault")  # our own code never sends a reply without a request
        else:
            self._waiting.set_result(reply)

    def _fail_waiting(self, how: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(WorkerDied(f"the render worker {how} while it held the picture", "try again"))
        if self.on_death is not None:
            self.on_death(self)


async def start(config: Config, role: str, process_type: "_Type[_Process]") -> _Process:
    """Start the program as worker or template, and wait until it is ready. Raises CannotStartWorker.

    Must run in the main thread: the process ends with the thread that started it (PR_SET_PDEATHSIG).
    """
    with starting():
        stderr = os.memfd_create("imgserve-stderr", os.MFD_CLOEXEC)  # for its output before it is ready
    try:
        return await made_ready(_spawn(config, role, stderr, process_type), lambda: _last_words(stderr))
    finally:
        os.close(stderr)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Raises CannotStartWorker for an OSError."""
    try:
        yield
    except OSError as error:
        raise CannotStartWorker(f"{sys.executable} cannot be started: {error.strerror}") from error


async def made_ready(process: _Process, why: Callable[[], str]) -> _Process:
    """The process, once it reports that it is ready; ``why`` has the reason if it ends. Raises CannotStartWorker."""
    async with contextlib.AsyncExitStack() as on_failure:
        on_failure.push_async_callback(process.reaped)
        on_failure.callback(process.close)  # before the wait: the last callback comes first
        try:
            process.ready = _ready(await process.first_word())
        except (WorkerDied, RenderTimeout, TemplateFailed, wire.BrokenPacket):
            raise CannotStartWorker(why()) from None
        on_failure.pop_all()
    return process


def _ready(reply: Reply) -> Ready:
    """Raises CannotStartWorker for another reply."""
    if isinstance(reply, Ready):
        return reply
    raise CannotStartWorker(reply.reason if isinstance(reply, CannotStart) else "it said something unexpected")


def _spawn(config: Config, role: str, stderr: int, process_type: "_Type[_Process]") -> _Process:
    libvips = SYSTEM_LIBVIPS if config.allow_system_libvips else OWN_LIBVIPS
    with starting(), contextlib.ExitStack() as on_failure:
        ours, theirs = socket_pair()
        on_failure.callback(ours.close)
        with theirs:
            font_dirs = msgspec.json.encode(config.font_dirs).decode()
            limit = str(config.memory_limit_bytes)
            arguments = [str(theirs.fileno()), config.sandbox, limit, libvips, role, font_dirs]
            popen = subprocess.Popen(  # noqa: S603 - our own program and arguments
                [sys.executable, "-I", "-m", "imgserve.imaging.worker", *arguments],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[theirs.fileno()],
            )
        on_failure.callback(popen.wait)
        on_failure.callback(popen.kill)
        process = process_type(popen.pid, popen.wait, ours)  # may lack a descriptor to watch its end
        on_failure.pop_all()
    return process


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """For this process, without blocking, and for a new one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def _last_words(stderr: int) -> str:
    size = os.fstat(stderr).st_size
    tail = os.pread(stderr, _STDERR_TAIL_BYTES, max(0, size - _STDERR_TAIL_BYTES)).decode(errors="replace")
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"
