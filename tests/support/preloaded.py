"""Servers of tests, forked from a process that has loaded the program: most of the CPU time of a start is imports.

The program forks after its imports itself, when it detaches; so a server that is forked here runs as such a one does.
``python -m tests.support.preloaded`` is the process that forks. It has one thread, and ends with its tests, not before
them by Ctrl-C. Called by ``daemon`` and by tests with victims of their own.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, NamedTuple, Optional, Self

MAX_ORDER_BYTES = 100_000
LOADED = ("imgserve.cli.main", "imgserve.server.detach", "tests.support.caching")
OWN_PREFIXES = ("IMGSERVE_", "PYTEST_", "SECRET")  # of variables that Python and its libraries read nothing from


class Order(NamedTuple):
    """``python -m MODULE ARGUMENTS``, with all that an exec would hand over but the streams."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str


class Forked:
    """A process, with the methods of a Popen."""

    def __init__(self, reports: int) -> None:
        self._reports = os.fdopen(reports)
        line = self._reports.readline()
        assert line, "the process that forks has ended"
        self.pid = int(line)
        self._pidfd = os.pidfd_open(self.pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative after a signal; None while it runs."""
        if self._status is None and select.select([self._reports], [], [], 0)[0]:
            self._take_status()
        return self._status

    def wait(self, timeout_s: float) -> int:
        """Raises TimeoutExpired."""
        if self._status is None:
            if not select.select([self._reports], [], [], timeout_s)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout_s)
            self._take_status()
        assert self._status is not None
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _take_status(self) -> None:
        line = self._reports.readline()
        assert line, "the process that forks has ended before its child"
        self._status = int(line)
        self._reports.close()
        os.close(self._pidfd)


class Preloaded:
    """The tests' side. ``fork`` may be called in any thread. ``opened`` is the one that ``start`` uses."""

    opened: ClassVar[Optional["Preloaded"]] = None

    def __init__(self, warnings: str) -> None:
        self._warnings = warnings
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded_with: Mapping[str, str] = {}
        self._orders, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def __enter__(self) -> Self:
        type(self).opened = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        type(self).opened = None
        self._orders.close()
        self._theirs.close()
        if self._process is not None:
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def fork(self, order: Order, output: int, errors: int) -> Forked | None:
        """None if it needs an interpreter of its own, for what its variables say."""
        with self._starting:
            if self._process is None:
                self._load()
        if _foreign(order.environment) != self._loaded_with:
            return None
        reader, writer = os.pipe()
        try:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [output, errors, writer])
        finally:
            os.close(writer)
        return Forked(reader)

    def _load(self) -> None:
        environment = {**os.environ, "PYTHONWARNINGS": self._warnings}
        self._loaded_with = _foreign(environment)
        command = [sys.executable, "-m", __name__, str(self._theirs.fileno())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=environment, pass_fds=[self._theirs.fileno()]
        )
        self._theirs.close()


def _foreign(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {name: text for name, text in environment.items() if not name.startswith(OWN_PREFIXES)}


def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], output: IO[bytes], errors: IO[bytes]
) -> Forked | subprocess.Popen[bytes]:
    """``python -m MODULE``: forked while a ``Preloaded`` is open, else in an interpreter of its own."""
    order = Order(module, arguments, environment, str(Path.cwd()))
    forked = Preloaded.opened.fork(order, output.fileno(), errors.fileno()) if Preloaded.opened else None
    return forked or subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment,
    )  # fmt: skip


class Forking:
    """The side of the process that forks."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._poll = select.poll()
        self._poll.register(orders, select.POLLIN)
        self._running: dict[int, tuple[int, int]] = {}  # pidfd: pid and the pipe of its reports

    def next_order(self) -> Order | None:
        """In a new process, the order that it is to carry out. None: the tests have ended."""
        while True:
            for ready, _ in self._poll.poll():
                if ready in self._running:
                    self._report_end(ready)
                    continue
                packet, descriptors, _, _ = socket.recv_fds(self._orders, MAX_ORDER_BYTES, 3)
                if not packet:
                    return None
                output, errors, reports = descriptors
                pid = os.fork()
                if pid == 0:
                    _take_streams(output, errors)
                    return Order(*json.loads(packet))
                os.close(output)
                os.close(errors)
                self._watch(pid, reports)

    def _watch(self, pid: int, reports: int) -> None:
        os.write(reports, b"%d\n" % pid)
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = pid, reports
        self._poll.register(pidfd, select.POLLIN)

    def _report_end(self, pidfd: int) -> None:
        self._poll.unregister(pidfd)
        pid, reports = self._running.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):  # its test is over
            os.write(reports, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(reports)
        os.close(pidfd)


def _take_streams(output: int, errors: int) -> None:
    """Keep no descriptor but the standard ones."""
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def main() -> None:
    gc.disable()  # as ``start`` does before it loads the server
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    # Ctrl-C reaches the servers too, and the tests still want to know how they ended.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = Forking(socket.socket(fileno=int(sys.argv[1]))).next_order()
    if order is None:
        return
    signal.signal(signal.SIGINT, interrupted)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.directory)
    sys.argv[1:] = order.arguments
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
