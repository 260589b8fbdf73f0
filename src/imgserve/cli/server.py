"""``imgserve stop`` and ``status``, and the checks of ``restart``. Called by ``cli`` with a server's places."""

import os
import select
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from imgserve.api.control_socket import RoleView, ServerView
from imgserve.cli import owner
from imgserve.cli.control import NotAllowed
from imgserve.cli.output import complain, say
from imgserve.cli.owner import Owner
from imgserve.errors import ImgserveError, using
from imgserve.server import pidfile
from imgserve.server.pidfile import AlreadyRunning
from imgserve.settings.load import Places

STOP_MARGIN_S = 30.0
START_S = 30.0
LOOK_EVERY_S = 0.1
RUNS, DIED, NOT_RUNNING, UNKNOWN = 0, 1, 3, 4  # LSB


class NotEnded(ImgserveError):
    code = "not_ended"
    title = "The server does not stop"


class RunByAnother(ImgserveError):
    code = "run_by_another"
    title = "Something else runs the server"


class Absent(msgspec.Struct, frozen=True):
    """The output of ``status --json`` when no server answers."""

    status: str
    data_dir: str
    pid: int | None = None


def status(places: Places, *, is_json: bool) -> int:
    """Print the state of the server. 0: it runs, 1: it died, 3: it does not run, 4: only another user may know."""
    data_dir = _data_dir(places)
    try:
        seen = owner.look(data_dir)
    except NotAllowed as error:
        if is_json:
            _tell_absent(Absent("unknown", str(data_dir)), is_json=True)
        complain(error.sentence())
        return UNKNOWN
    code = {"dead": DIED, "absent": NOT_RUNNING}.get(seen.state, RUNS)
    if code == NOT_RUNNING and _is_stale(places, data_dir):
        code, seen = DIED, Owner("dead")
    if seen.server is None:
        word = {"absent": "not_running"}.get(seen.state, seen.state)
        _tell_absent(Absent(word, str(data_dir), seen.pid or None), is_json=is_json)
    elif is_json:
        say(seen.raw.decode())
    else:
        _tell(seen, seen.server)
    return code


def stop(places: Places, *, is_kill: bool) -> int:
    """End the server and wait until it is gone: 0 when none runs then. Raises ImgserveError, OSError."""
    data_dir = _data_dir(places)
    seen = _started(data_dir, is_kill=is_kill)
    if seen.state in ("absent", "dead"):
        say(f"imgserve is not running on {data_dir}")
        _forget(places)
        return 0
    started = time.monotonic()
    _end(data_dir, seen, is_kill=is_kill)
    _forget(places)
    say(f"ended after {time.monotonic() - started:.1f} s")
    return 0


def check_restart(places: Places) -> None:
    """Raises RunByAnother for a server that this command could not start anew as it was, AlreadyRunning."""
    data_dir = _data_dir(places)
    seen = owner.look(data_dir)
    if seen.server is not None and seen.server.started_as != "daemon":
        who, remedy = _keeper(seen, seen.server, "restart")
        raise RunByAnother(f"the server on {data_dir} (pid {seen.pid}) is run by {who}", remedy)
    held = _held(places)
    if held.state == "running" and held.pid != seen.pid:
        raise AlreadyRunning(
            f"{places.pid_file} is held by the server on {held.note.data_dir} (pid {held.pid})",
            "name another --pid-file, or that server's --data-dir",
        )


def _data_dir(places: Places) -> Path:
    """The named data directory; where none is named, that of the server which holds the pid file."""
    if not places.is_data_dir_named:
        seen = _held(places)
        if seen.state == "running" and seen.note.data_dir:
            return Path(seen.note.data_dir)
    return places.data_dir


def _held(places: Places) -> pidfile.Seen:
    """Raises FileUnusable, AlreadyRunning."""
    with using(f"the pid file {places.pid_file}", "--pid-file"):
        return pidfile.look(places.pid_file)


def _is_stale(places: Places, data_dir: Path) -> bool:
    seen = _held(places)
    return seen.state == "dead" and seen.note.data_dir in ("", str(data_dir.absolute()))


def _forget(places: Places) -> None:
    with suppress(OSError, AlreadyRunning):
        if pidfile.look(places.pid_file).state == "dead":
            pidfile.remove_stale(places.pid_file)


def _started(data_dir: Path, *, is_kill: bool) -> Owner:
    """The owner; one that is starting is waited for, since it could not be asked to finish anything yet."""
    ends_at = time.monotonic() + START_S
    seen = owner.look(data_dir)
    while seen.state == "starting" and not is_kill and time.monotonic() < ends_at:
        time.sleep(LOOK_EVERY_S)
        seen = owner.look(data_dir)
    return seen


def _end(data_dir: Path, seen: Owner, *, is_kill: bool) -> None:
    who, remedy = _keeper(seen, seen.server, "stop") if seen.server else ("", "")
    if not seen.pid:
        raise NotEnded(
            f"the server on {data_dir} cannot be reached from here: its process is hidden, as in a container",
            "stop the container, or run imgserve stop inside it",
        )
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(seen.pid)
        try:
            if owner.pid_of(data_dir) != seen.pid:  # it has ended meanwhile, and its number may be another's
                return
            signal.pidfd_send_signal(descriptor, signal.SIGKILL if is_kill else signal.SIGTERM)
            patience_s = seen.server.drain_s if seen.server else 0.0
            by = f", run by {who}," if who else ""
            drains = f"takes no more jobs and finishes what runs, for at most {patience_s:g} s"
            say(f"imgserve (pid {seen.pid}){by} {'was killed' if is_kill else drains}")
            if seen.server and seen.server.started_as in ("systemd", "container"):
                say(f"{who} may start it again; this keeps it stopped: {remedy}")
            if not _ends(descriptor, patience_s + STOP_MARGIN_S):
                raise NotEnded(f"imgserve (pid {seen.pid}) has not ended", "imgserve stop --kill ends it at once")
        finally:
            os.close(descriptor)


def _ends(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _keeper(seen: Owner, server: ServerView, verb: str) -> tuple[str, str]:
    """The supervisor of the server, and its command for ``verb``; both are empty for a server of ``imgserve start``."""
    if server.started_as == "daemon":
        return "", ""
    if server.started_as == "systemd":
        unit = _unit(seen.pid)
        return (f"systemd ({unit})", f"systemctl {verb} {unit}") if unit else ("systemd", f"systemctl {verb} its unit")
    if server.started_as == "container":
        return "a container", f"docker {verb} NAME, or what else started the container"
    return f"{_parent(seen.pid)} in the foreground", "stop it and start it where it runs"


def _unit(pid: int) -> str:
    """The systemd unit of a process, by its control group (cgroups(7)); empty when that names none."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            name = line.rpartition("/")[2]
            if name.endswith(".service"):
                return name
    return ""


def _parent(pid: int) -> str:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        parent = next(line.split()[1] for line in lines if line.startswith("PPid:"))
        return f"{Path(f'/proc/{parent}/comm').read_text().strip()} (pid {parent})"
    return "another program"


def _tell_absent(absent: Absent, *, is_json: bool) -> None:
    if is_json:
        say(msgspec.json.encode(absent).decode())
        return
    pid = f" (pid {absent.pid})" if absent.pid else ""
    sentence = {
        "not_running": f"imgserve is not running on {absent.data_dir}",
        "dead": f"imgserve died on {absent.data_dir}; its jobs go on with the next start",
        "starting": f"imgserve{pid} holds {absent.data_dir} and is starting, or ending",
        "silent": f"imgserve{pid} holds {absent.data_dir} and does not answer: look at its log",
    }
    say(sentence[absent.status])


def _tell(seen: Owner, server: ServerView) -> None:
    who, _ = _keeper(seen, server, "stop")
    say(f"pid      {seen.pid or 'hidden, as in a container'}")
    say(f"address  {server.address}")
    say(f"uptime   {timedelta(seconds=int(server.uptime_s))}")
    states = [f"{state.name}: {state.detail} ({state.hint})" for state in server.states] or [server.status]
    for head, line in zip(("state", *[""] * len(states)), states, strict=False):
        say(f"{head:<8} {line}")
    say(f"run by   {who or 'imgserve start'}")
    say(f"workers  {_workers(server)}, sandbox {server.sandbox}")
    if server.queue is None:
        say("queue    unknown: its file cannot be read now")
        return
    left = f", {server.queue.placeholders_left} placeholders left" if server.queue.placeholders_left else ""
    say(f"queue    {server.queue.accepting + server.queue.queued} waiting, {server.queue.running} running{left}")


def _workers(server: ServerView) -> str:
    roles = {role.role: role for role in server.roles}
    if "render" not in roles:
        return str(len(server.workers))
    more = ", ".join(f"{_there(role)} {role.role}" for role in server.roles if role.role != "render")
    missing = sum(role.missing for role in server.roles)
    return f"{_there(roles['render'])} render (+{more})" + (f", {missing} missing" if missing else "")


def _there(role: RoleView) -> int:
    return role.idle + role.busy
