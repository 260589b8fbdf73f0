"""A worker that has been taken over, as far as the kernel can tell: what can it still do? (Nothing.)

Each thing is tried in a process that has locked itself in, and in one that has not. ``test_system_calls.py`` goes
through all that the kernel can be asked.
"""

import os
from pathlib import Path

import pytest

from tests.hostile.locked import LOCKED, State, attempts, printed

_ATTEMPTS = {
    "read a file": "open('/etc/passwd').read(1)",
    "read a file beside the program": "open(sys.prefix + '/pyvenv.cfg').read(1)",
    "read a package that is not imported later": "open(__import__('msgspec').__file__).read(1)",
    "read of its own process": "open('/proc/self/environ').read(1)",
    "read of another process": "open('/proc/%d/maps' % os.getppid()).read(1)",
    "list the root": "os.listdir('/')",
    "write a file": "open(given[0] + '/written', 'w').write('x')",
    "remove a file": "os.unlink(given[0] + '/victim')",
    "rename a file": "os.rename(given[0] + '/victim', given[0] + '/other')",
    "change a mode": "os.chmod(given[0] + '/victim', 0o777)",
    "make a link": "os.symlink('/etc', given[0] + '/link')",
    "make a directory": "os.mkdir(given[0] + '/directory')",
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


def tried(state: State, directory: Path, *names: str) -> dict[str, str]:
    (directory / "victim").write_text("x")
    return attempts({name: _ATTEMPTS[name] for name in names}, state, str(directory))


@pytest.mark.parametrize("state", LOCKED)
def test_refused_when_locked_in(state: State, tmp_path: Path) -> None:
    answers = tried(state, tmp_path, *_ATTEMPTS)
    assert list(answers) == list(_ATTEMPTS)
    assert set(answers.values()) <= {"refused 1", "refused 13"}, answers  # EPERM by seccomp, EACCES by Landlock
    assert sorted(os.listdir(tmp_path)) == ["victim"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="two attempts name system calls of x86-64")
@pytest.mark.parametrize("what", sorted(set(_ATTEMPTS) - {"execute", "make a namespace"}))
def test_possible_when_not(what: str, tmp_path: Path) -> None:
    assert tried("free", tmp_path, what)[what] in {"done", "refused 126"}


@pytest.mark.parametrize("state", ["locked", "forked"])
def test_threads_and_fonts_still_work(state: State) -> None:
    what = (
        "import pyvips; t = pyvips.Image.text('Aa', fontfile=sandbox._PACKAGE + '/fonts/NotoSans-Regular.ttf');"
        " assert t.avg() > 0; import threading; h = threading.Thread(target=print); h.start(); h.join()"
    )
    assert printed(what, state) == [""]


@pytest.mark.parametrize("state", ["locked", "forked"])
def test_memory_and_cores_are_limited(state: State) -> None:
    what = (
        "import resource; print([resource.getrlimit(n)[1] for n in"
        " (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)])"
    )
    assert printed(what, state) == ["[2500000000, 0, 1073741824, 32]"]


_OWN_STATUS = "status = os.open('/proc/self/status', 0)", "print(os.pread(status, 9999, 0).decode())"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to lose")
def test_no_capability_is_left() -> None:
    """Seen in the process that drops them, which is the template's too."""
    before, what = _OWN_STATUS

    def held(state: State) -> set[str]:
        return {line.split()[1] for line in printed(what, state, before=before) if line.startswith("Cap")}

    assert held("locked") == {"0" * 16}
    assert len(held("free")) > 1
