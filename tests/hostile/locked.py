"""A process that locks itself in by the worker's own code, then tries things and prints what came of each.

``locked``: as a worker that was started by exec. ``forked``: as one that a template has forked. ``unscoped``: as the
first, on a kernel before 6.12, whose Landlock knows no scope of signals. ``free``: without any lock, where each thing
must succeed: else the refusal would prove nothing.
"""

import subprocess
import sys
from collections.abc import Mapping
from typing import Literal

State = Literal["locked", "forked", "unscoped", "free"]
LOCKED: tuple[State, ...] = ("locked", "forked", "unscoped")

_PROGRAM = """
import ctypes, os, signal, socket, struct, sys, time
from imgserve.imaging.worker import landlock, sandbox, template, vips
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
def call(number, *arguments):
    return check(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if type(a) is int else a for a in arguments)))
state, given = sys.argv[1], sys.argv[2:]
{before}
def try_all():
    os.chdir("/")
    for name, what in {whats!r}.items():
        try:
            exec(what, globals())
        except OSError as error:
            print(name, "refused", error.errno, sep=chr(31))
        else:
            print(name, "done", sep=chr(31))
        sys.stdout.flush()
    os._exit(0)
def forked(connection, how):
    assert how == "landlock+seccomp"
    try_all()
if state != "free":
    sandbox.give_up_privileges(2_500_000_000)
vips.configure()
if state == "unscoped":
    landlock._SCOPES = 0
if state == "forked":
    server, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lives, ends = os.pipe()
    socket.send_fds(server, [b"f"], [socket.socketpair()[1].detach()])
    server.shutdown(socket.SHUT_WR)
    template.run(orders, "require", (), lambda state: None, forked)
    os.close(ends)
    os.read(lives, 1)
elif state == "free":
    vips.warm_up()
    try_all()
else:
    files = sandbox.close_files("require", sandbox.rules_for_files("require"))
    vips.warm_up()
    assert sandbox.state(files, sandbox.close_system_calls("require")) == "landlock+seccomp"
    try_all()
"""


def attempts(whats: Mapping[str, str], state: State, *given: str, before: str = "") -> dict[str, str]:
    """Name -> ``done`` or ``refused`` and a number, of statements. ``before`` runs unlocked; both know ``given``."""
    lines = _printed(whats, state, given, before).splitlines()
    answers = [line.split(chr(31)) for line in lines if chr(31) in line]
    return {name: " ".join(answer) for name, *answer in answers}


def printed(what: str, state: State, *given: str, before: str = "") -> list[str]:
    """The lines that a statement has printed. It must succeed."""
    *lines, answer = _printed({"": what}, state, given, before).splitlines()
    assert answer == f"{chr(31)}done", answer
    return lines


def _printed(whats: Mapping[str, str], state: State, given: tuple[str, ...], before: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(whats=dict(whats), before=before), state, *given],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"LANG": "C.UTF-8"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
