"""A process that locks itself in by the worker's own code, then tries one thing and prints what came of it.

``locked``: as a worker. ``unscoped``: the same on a kernel before 6.12, whose Landlock knows no scope of signals.
``free``: without any lock, where each thing must succeed: else the refusal would prove nothing.
"""

import subprocess
import sys
from typing import Literal

State = Literal["locked", "unscoped", "free"]

_PROGRAM = """
import ctypes, os, signal, socket, struct, sys, time
from imgserve.imaging.worker import landlock, sandbox, vips
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
vips.configure()
if state == "unscoped":
    landlock._SCOPES = 0
if state != "free":
    sandbox.give_up_privileges(2_500_000_000)
    files = sandbox.close_files("require")
    vips.warm_up()
    calls = sandbox.close_system_calls("require")
    assert sandbox.state(files, calls) == "landlock+seccomp"
else:
    vips.warm_up()
os.chdir("/")
try:
    {attempt}
except OSError as error:
    print("refused", error.errno)
else:
    print("done")
sys.stdout.flush()
os._exit(0)
"""


def attempt(what: str, state: State, *given: str, before: str = "") -> str:
    """What the process printed. ``what`` is one statement; ``before`` runs unlocked; ``given`` is ``given`` in both."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(attempt=what, before=before), state, *given],
        capture_output=True,
        text=True,
        check=False,
        env={"LANG": "C.UTF-8"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
