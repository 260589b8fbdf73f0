"""A process that never sees a picture: warmed up and locked in once, it forks workers that begin where it stands.

Called by ``__main__.py``; ordered by ``imaging/template.py``. An order is one byte with the new worker's socket beside
it; the answer is the worker's number with a pidfd beside it, or 0 where it is not safe to fork. A thread that another
thread's lock was copied from never ends, so there is no fork while there is a second one.
"""

import gc
import importlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable

from imgserve.imaging import wire
from imgserve.imaging.messages import CannotStart
from imgserve.imaging.worker import sandbox, vips
from imgserve.imaging.worker.svg import watch

_WAIT_FOR_THREADS_S = 5.0
_ANSWER = struct.Struct("!I")
# Each child reads its own figures there, and puts itself first in line when memory runs out, before its own rules.
_OF_CHILDREN = ("/proc",)

Serve = Callable[[socket.socket, str], None]


def run(orders: socket.socket, mode: sandbox.Mode, say_ready: Callable[[str], None], serve: Serve) -> None:
    """Until the server closes ``orders``. ``serve`` is a child's life: its socket, and how it is locked in.

    Raises SandboxImpossible, pyvips.Error.
    """
    vips.warm_up_template()
    importlib.import_module("imgserve.imaging.worker.html.page")  # a worker alone imports it with its first page
    rules = sandbox.rules_for_files(mode)
    tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _wait_until_alone(tasks)
    files = sandbox.close_files(mode, sandbox.rules_for_files(mode, _OF_CHILDREN))
    system_calls = sandbox.close_system_calls(mode, is_template=True)
    sandbox.silence()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    gc.collect()
    gc.freeze()
    say_ready(sandbox.state(files, system_calls))
    own_pid = os.getpid()
    while True:
        order, descriptors, _flags, _address = socket.recv_fds(orders, 1, 1)
        if not order:
            return
        connection = descriptors[0]
        child = os.fork() if _is_alone(tasks) else -1
        if child == 0:
            orders.close()
            os.close(tasks)
            _live(own_pid, connection, mode, rules, serve)
        _answer(orders, child)
        os.close(connection)


def _is_alone(tasks: int) -> bool:
    return len(os.listdir(tasks)) == 1


def _wait_until_alone(tasks: int) -> None:
    """A thread that has been joined is still there for a moment. Raises SandboxImpossible for one that stays."""
    until = time.monotonic() + _WAIT_FOR_THREADS_S
    while not _is_alone(tasks):
        if time.monotonic() > until:
            raise sandbox.SandboxImpossible("a library keeps a thread in the template, so it cannot fork")
        time.sleep(0.001)


def _answer(orders: socket.socket, child: int) -> None:
    if child < 0:
        socket.send_fds(orders, [_ANSWER.pack(0)], [])
        return
    try:
        pidfd = os.pidfd_open(child)
    except ProcessLookupError:
        socket.send_fds(orders, [_ANSWER.pack(0)], [])
        return
    socket.send_fds(orders, [_ANSWER.pack(child)], [pidfd])
    os.close(pidfd)


def _live(parent: int, descriptor: int, mode: sandbox.Mode, rules: sandbox.Files, serve: Serve) -> None:
    """The child. Never returns."""
    try:
        sandbox.die_with_parent()
        if os.getppid() != parent:
            os._exit(0)
        sandbox.offer_to_die_first()
        watch.own_memory.open()
        connection = socket.socket(fileno=descriptor)
        files = sandbox.close_files(mode, rules)
        system_calls = sandbox.close_system_calls(mode)
        serve(connection, sandbox.state(files, system_calls))
    except sandbox.SandboxImpossible as error:
        os.write(descriptor, wire.frame(CannotStart(str(error))))
    finally:
        os._exit(0)
