"""What systemd does with a unit, as far as one command can: for tests on machines where no systemd runs.

    python manager.py start|restart|boot UNIT-FILE

Makes the state directory, starts ExecStart as the unit's user with its environment, and returns when it is told that
the server is ready. ``boot`` starts the unit if it has been enabled. Its sandbox is not made: see test_deployed.py.
"""

import os
import pwd
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

NOTE = Path("/run/imgserve-test.pid")


def assignments(unit: Path) -> list[tuple[str, str]]:
    lines = (line.partition("=") for line in unit.read_text().splitlines() if not line.startswith("#"))
    return [(name, value) for name, equals, value in lines if equals]


def read(unit: Path) -> dict[str, str]:
    return dict(assignments(unit))


def environment(unit: Path) -> dict[str, str]:
    """All lines ``Environment=`` count; ``%b`` is the boot's id (systemd.unit(5)), in 32 digits."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    given = [value.replace("%b", boot).partition("=") for name, value in assignments(unit) if name == "Environment"]
    file = Path(read(unit)["EnvironmentFile"].removeprefix("-"))
    given += [line.partition("=") for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **{key: text for key, _, text in given}}


def start(unit: Path) -> None:
    told = read(unit)
    user = pwd.getpwnam(told["User"])
    state = Path("/var/lib") / told["StateDirectory"]
    state.mkdir(exist_ok=True)
    state.chmod(int(told["StateDirectoryMode"], 8))
    os.chown(state, user.pw_uid, user.pw_gid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        address = f"imgserve-test-{os.getpid()}"
        ear.bind(f"\0{address}")
        words = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
        words += ["--bounding-set=-all", "--no-new-privs", *told["ExecStart"].split()]
        log = Path("/run/imgserve-test.log").open("ab")  # noqa: SIM115 - the server's
        environ = {**environment(unit), "NOTIFY_SOCKET": f"@{address}"}
        server = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        NOTE.write_text(str(server.pid))
        ear.settimeout(int(told["TimeoutStartSec"]))
        if ear.recv(100) != b"READY=1":
            raise SystemExit("it said something else than READY=1")


def stop() -> None:
    descriptor = os.pidfd_open(int(NOTE.read_text()))
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    select.select([descriptor], [], [], 60)
    os.close(descriptor)


if __name__ == "__main__":
    verb, path = sys.argv[1], Path(sys.argv[2])
    if verb == "restart":
        stop()
    if verb != "boot" or (path.parent / f"{read(path)['WantedBy']}.wants" / path.name).is_symlink():
        start(path)
