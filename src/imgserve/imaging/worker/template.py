"""A process that never sees a picture: warmed up and in its sandbox once, it forks workers that begin ready.

Called by ``__main__.py``; takes orders from ``imaging/template.py``. An order is one byte with the new worker's socket
beside it; the answer is the worker's pid with a pidfd beside it, or 0 if it is not safe to fork. A child would wait
for ever for a lock that another thread held, so the template never forks while it has a second thread.
"""

import gc
import importlib
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence

from imgserve.imaging import wire
from imgserve.imaging.messages import CannotStart
from imgserve.imaging.worker import sandbox, vips
from imgserve.imaging.worker.svg import sanitize, watch

_WAIT_FOR_THREADS_S = 5.0
_ANSWER = struct.Struct("!I")
# Each child opens its memory figures there, and offers to be killed first, before its own rules hold.
_OF_CHILDREN = ("/proc",)

Serve = Callable[[socket.socket, str], None]


def run(
    orders: socket.socket, mode: sandbox.Mode, font_dirs: Sequence[str], say_ready: Callable[[str], None], serve: Serve
) -> None:
    """Runs until the server closes ``orders``. ``serve`` runs a child, with its socket and its sandbox's state.

    Raises SandboxImpossible, pyvips.Error.
    """
    vips.warm_up_template(font_dirs)
    importlib.import_module("imgserve.imaging.worker.html.page")  # a worker alone imports it with its first page
    sanitize.library()
    rules = sandbox.rules_for_files(mode, font_dirs)
    tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    wait_until_alone()
    files = sandbox.close_files(mode, sandbox.rules_for_files(mode, font_dirs, _OF_CHILDREN))
    system_calls = sandbox.close_system_calls(mode, is_template=True)
    sandbox.silence()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
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
        _answer(orders, max(child, 0))
        os.close(connection)


def _is_alone(tasks: int) -> bool:
    return len(os.listdir(tasks)) == 1


def wait_until_alone() -> None:
    """A joined thread is still listed for a moment. Raises SandboxImpossible for one that stays."""
    until = time.monotonic() + _WAIT_FOR_THREADS_S
    while len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - names are all that is wanted
        if time.monotonic() > until:
            raise sandbox.SandboxImpossible("a library keeps a thread, so it can be neither forked nor locked")
        time.sleep(0.001)


def _answer(orders: socket.socket, child: int) -> None:
    """``child`` is 0 without one."""
    try:
        descriptors = [os.pidfd_open(child)] if child else []
    except ProcessLookupError:
        child, descriptors = 0, []
    socket.send_fds(orders, [_ANSWER.pack(child)], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def _live(parent: int, descriptor: int, mode: sandbox.Mode, rules: sandbox.Files, serve: Serve) -> None:
    """The child. Never returns."""
    try:
        sandbox.die_with_parent()
        if os.getppid() != parent:
            os._exit(0)
        sandbox.offer_to_die_first()
        watch.own_figures()
        connection = socket.socket(fileno=descriptor)
        files = sandbox.close_files(mode, rules)
        system_calls = sandbox.close_system_calls(mode)
        serve(connection, sandbox.state(files, system_calls))
    except sandbox.SandboxImpossible as error:
        os.write(descriptor, wire.packet(CannotStart(str(error))))
    finally:
        os._exit(0)
