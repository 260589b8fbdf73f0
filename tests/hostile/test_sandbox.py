"""A worker that has been taken over, as far as the kernel can tell: what can it still do? (Nothing.)

A child of the test locks itself in by the worker's own code, then tries one thing and prints what came of it. Each
thing is also tried without the lock, where it must succeed: else the refusal would prove nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_LOCK = """
import ctypes, os, socket, sys
from imgserve.imaging.worker import sandbox, vips
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
vips.configure()
if sys.argv[1] == "locked":
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

_ATTEMPTS = {
    "read a file": "open('/etc/passwd').read(1)",
    "read a file beside the program": "open(sys.prefix + '/pyvenv.cfg').read(1)",
    "list the root": "os.listdir('/')",
    "write a file": "open(sys.argv[2] + '/written', 'w').write('x')",
    "remove a file": "os.unlink(sys.argv[2] + '/victim')",
    "rename a file": "os.rename(sys.argv[2] + '/victim', sys.argv[2] + '/other')",
    "change a mode": "os.chmod(sys.argv[2] + '/victim', 0o777)",
    "make a link": "os.symlink('/etc', sys.argv[2] + '/link')",
    "make a directory": "os.mkdir(sys.argv[2] + '/directory')",
    "open a socket": "socket.socket()",
    "open a UNIX socket": "socket.socket(socket.AF_UNIX)",
    "open a socket pair": "socket.socketpair()",
    "fork": "os.fork() or os._exit(0)",
    "execute": "os.execv('/bin/true', ['true'])",
    "execute a descriptor": "os.posix_spawn('/bin/true', ['true'], {})",
    "signal its parent": "os.kill(os.getppid(), 0)",
    "signal a thread of its parent": "check(libc.syscall(234, os.getppid(), os.getppid(), 0))",
    # PTRACE_SEIZE, which does not stop the traced: an attach would leave this very test stopped
    "trace its parent": "check(libc.ptrace(0x4206, os.getppid(), 0, 0))",
    "look into its parent": "check(libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0))",
    "take a descriptor of its parent": "os.pidfd_open(os.getppid())",
    "limit its parent": "__import__('resource').prlimit(os.getppid(), 7)",
    "make a memory file": "os.memfd_create('x')",
    "make a namespace": "check(libc.unshare(0x10000000))",
    "use a key ring": "check(libc.syscall(250, 0, -3, 1))",
}


def attempt(what: str, state: str, directory: Path) -> str:
    (directory / "victim").write_text("x")
    ended = subprocess.run(
        [sys.executable, "-c", _LOCK.format(attempt=_ATTEMPTS[what]), state, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        env={"LANG": "C.UTF-8"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.parametrize("what", sorted(_ATTEMPTS))
def test_refused_when_locked_in(what: str, tmp_path: Path) -> None:
    answer = attempt(what, "locked", tmp_path)
    assert answer in {"refused 1", "refused 13"}, answer  # EPERM by seccomp, EACCES by Landlock
    assert sorted(os.listdir(tmp_path)) == ["victim"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="two attempts name system calls of x86-64")
@pytest.mark.parametrize("what", sorted(set(_ATTEMPTS) - {"execute", "make a namespace"}))
def test_possible_when_not(what: str, tmp_path: Path) -> None:
    assert attempt(what, "free", tmp_path).splitlines()[-1] in {"done", "refused 126"}


def test_threads_and_fonts_still_work() -> None:
    program = _LOCK.format(
        attempt="import pyvips; t = pyvips.Image.text('Aa', fontfile=sandbox._PACKAGE + '/fonts/NotoSans-Regular.ttf');"
        " assert t.avg() > 0; import threading; h = threading.Thread(target=print); h.start(); h.join()"
    )
    ended = subprocess.run([sys.executable, "-c", program, "locked"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "done"), ended.stderr


def test_memory_and_cores_are_limited() -> None:
    program = _LOCK.format(
        attempt="import resource; r = [resource.getrlimit(n)[1] for n in"
        " (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)]; print(r)"
    )
    ended = subprocess.run([sys.executable, "-c", program, "locked"], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[0] == "[2500000000, 0, 1073741824, 64]", ended.stderr
