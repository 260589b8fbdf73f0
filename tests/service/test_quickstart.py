"""docs/quickstart.md, command by command, on a view of this machine that is thrown away, and then a reboot.

No systemd runs there: ``systemctl`` is a few lines of shell over tests/support/manager.py; it enables by the real one.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.service.test_daemon import needs_root, where_everybody_can_read_python
from tests.service.test_deployed import first_child, open_top
from tests.support.daemon import wait_until
from tests.support.pages import commands_in
from tests.support.sizes import PATIENCE_S

__all__ = ["open_top"]
ROOT = Path(__file__).resolve().parents[2]
UNIT = "/etc/systemd/system/imgserve.service"
LAID_OVER = ("/etc", "/opt", "/srv", "/usr/local/bin", "/var/lib", "/var/log", "/run")
SYSTEMCTL = f"""#!/bin/sh
set -e
case "$1" in
daemon-reload) ;;
enable) /usr/bin/systemctl --root=/ --quiet enable "$3"; exec {{python}} {ROOT}/tests/support/manager.py start {UNIT} ;;
restart | boot) exec {{python}} {ROOT}/tests/support/manager.py "$1" {UNIT} ;;
*) exit 9 ;;
esac
"""
SUDO = """#!/bin/sh
[ "$1" != -u ] || { user=$2; shift 2; exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"; }
exec "$@"
"""


class Machine:
    """One boot. What commands write is kept beneath ``top``; the real directories stay as they are."""

    def __init__(self, pid: int, sources: Path) -> None:
        self._pid = pid
        self._sources = sources

    def run(self, command: str, *, status: tuple[int, ...] = (0,), with_network: bool = False) -> str:
        own = () if with_network else ("--net",)
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", *own, f"--wd={self._sources}"]
        ended = subprocess.run(
            [*enter, "sh", "-ec", command], capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False
        )
        assert ended.returncode in status, f"{command}\nended with {ended.returncode}: {ended.stdout}{ended.stderr}"
        return ended.stdout


@contextmanager
def booted(top: Path) -> Iterator[Machine]:
    boot = Path(tempfile.mkdtemp(prefix="boot-", dir=top))
    boot.chmod(0o755)
    cache = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True)
    steps = ["set -e"]
    if Path(cache.stdout.strip()).is_dir():
        steps.append(f"mount --bind {cache.stdout.strip()} {top}/cache")
    for number, place in enumerate(LAID_OVER):
        upper, work = top / f"upper{number}", top / f"work{number}"
        upper.mkdir(exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        upper.chmod(0o755)
        steps.append(f"mount -t overlay -o lowerdir={place},upperdir={upper},workdir={work} overlay {place}")
    steps += [f"mkdir -p /var/lib/imgserve && mount --bind {top}/data /var/lib/imgserve", "ip link set lo up"]
    steps += [f"touch {boot}/booted", 'exec "$@"']
    outer = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")
    words = [*outer, "; ".join(steps), "sh", *where_everybody_can_read_python(boot), "cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as machine:
        try:
            wait_until(lambda: (boot / "booted").exists() or machine.poll() is not None)
            pid = first_child(machine.pid)
            wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "cat\n")
            yield Machine(pid, top / "sources")
        finally:
            machine.send_signal(signal.SIGKILL)


def prepare(top: Path) -> None:
    (top / "data").mkdir()
    (top / "cache").mkdir()
    (top / "sources").mkdir()
    for name in ("src", "deploy", "requirements", "examples"):
        shutil.copytree(ROOT / name, top / "sources" / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, top / "sources" / name)
    programs = top / f"upper{LAID_OVER.index('/usr/local/bin')}"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL.format(python=sys.executable)), ("sudo", SUDO)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)


@needs_root
def test_from_the_sources_to_a_reboot(open_top: Path) -> None:
    prepare(open_top)
    commands = commands_in((ROOT / "docs/quickstart.md").read_text())
    assert len(commands) == 7
    install, enable, check, health, copy, post, restart = commands
    with booted(open_top) as machine:
        environment = f"export PATH=/usr/local/bin:{sys.base_prefix}/bin:$PATH; "
        machine.run(f"{environment}export PIP_CACHE_DIR={open_top}/cache; {install}", with_network=True)
        assert not (open_top / "sources/build").exists(), "root's, and the next wheel would have its old modules"
        assert not list((open_top / "sources").rglob("*.egg-info"))
        assert machine.run("systemd-analyze verify --man=no " + UNIT) == ""
        machine.run(environment + enable)
        told = machine.run(environment + check, status=(0, 1))
        assert "\nfault" not in told
        assert "owns /var/lib/imgserve" in told
        shown = json.loads(machine.run(health))
        assert (shown["status"], shown["sandbox"]) == ("ok", "landlock+seccomp")
        assert "heic" in shown["formats"]["read"]
        machine.run(environment + copy)
        assert machine.run(post) == '{"dstURL":"file:///srv/imgserve/results/320x200-hills.jpg"}'
        result = open_top / f"upper{LAID_OVER.index('/srv')}/imgserve/results/320x200-hills.jpg"
        with Image.open(result) as picture:
            assert picture.size == (320, 200)
        machine.run(environment + restart)
        assert json.loads(machine.run(health))["status"] == "ok"
        old = machine.run("readlink -f /usr/local/bin/imgserve")
        assert old == "/opt/imgserve/bin/imgserve\n"
    with booted(open_top) as machine:
        machine.run(health, status=(7,))  # nobody listens
        machine.run("export PATH=/usr/local/bin:$PATH; systemctl boot")
        assert json.loads(machine.run(health))["status"] == "ok"
