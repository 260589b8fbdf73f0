"""The escape test inside the daemon's own worker: a debugger puts Python into the live process, as a codec bug would.

What it finds out the debugger reads from its memory: a worker has no way of its own to tell anyone.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.processes import workers

ESCAPES = {
    "read": "open('/etc/passwd').read()",
    "list": "__import__('os').listdir('/root')",
    "write": "open('/tmp/imgserve-escape', 'w')",
    "socket": "__import__('socket').socket()",
    "unix": "__import__('socket').socket(__import__('socket').AF_UNIX)",
    "fork": "__import__('os').fork()",
    "exec": "__import__('os').execv('/bin/true', ['true'])",
    "kill": "__import__('os').kill(__import__('os').getppid(), 0)",
    "parent": "open('/proc/%d/environ' % __import__('os').getppid()).read()",
    "chmod": "__import__('os').chmod('/tmp', 0o777)",
}

pytestmark = pytest.mark.skipif(
    shutil.which("gdb") is None, reason="gdb is not installed; to run this: apt-get install gdb"
)

TRY_ALL = """
found = ""
for name, expression in ESCAPES.items():
    try:
        eval(expression)
        found += "escaped:" + name + " "
    except BaseException as error:
        found += "refused:" + name + " "
"""
READ_FOUND = (
    "call (char*)PyUnicode_AsUTF8((void*)PyDict_GetItemString("
    '(void*)PyModule_GetDict((void*)PyImport_AddModule("__main__")), "found"))'
)


def try_inside(pid: int, names: tuple[str, ...]) -> dict[str, str]:
    """Name -> ``escaped`` or ``refused``, tried in a process that waits for work."""
    chosen = {name: ESCAPES[name] for name in names}
    said = run_inside(pid, f"ESCAPES = {chosen!r}\n{TRY_ALL}", READ_FOUND)
    pairs = re.findall(r"(escaped|refused):(\w+)", said)
    return {name: outcome for outcome, name in pairs}


def run_inside(pid: int, code: str, *then: str) -> str:
    """Run Python in another process: gdb calls its interpreter's C API, and ``then`` more. What gdb says to it."""
    calls = (
        "set print elements 0",
        "call (int)PyGILState_Ensure()",
        f"call (int)PyRun_SimpleString(\"exec(bytes.fromhex('{code.encode().hex()}').decode())\")",
        *then,
        "call (void)PyGILState_Release($1)",
    )
    command = ["gdb", "-p", str(pid), "-batch", "-nx", "-iex", "set debuginfod enabled off"]
    # Of the many libraries only Python's own has names that are called, where it is one.
    command += ["-iex", "set auto-solib-add off", "-ex", "sharedlibrary libpython"]
    for call in calls:
        command += ["-ex", call]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "$2 = 0" in said.stdout, said.stdout + said.stderr
    return said.stdout


def test_nothing_gets_out_of_a_live_worker(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        children = workers(server.pid)
        assert len(children) == 4
        for child in children:
            found = try_inside(child, tuple(ESCAPES))
            assert found == dict.fromkeys(ESCAPES, "refused")
        assert not Path("/tmp/imgserve-escape").exists()


def test_the_same_code_escapes_where_there_is_no_sandbox() -> None:
    """So the refusals above are the sandbox's own."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as target:  # fmt: skip
        assert target.stdout is not None
        assert target.stdout.readline() == b"up\n"
        harmless = ("read", "list", "socket", "unix", "kill", "parent")
        assert try_inside(target.pid, harmless) == dict.fromkeys(harmless, "escaped")
