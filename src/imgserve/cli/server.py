"""``imgserve stop`` and ``status``, and the checks of ``restart``. Called by ``main`` with the server's places."""

import os
import select
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from imgserve.api.control_socket import ServerView
from imgserve.cli import owner
from imgserve.cli.control import NotAllowed
from imgserve.cli.output import age, complain, say, show
from imgserve.cli.owner import Owner
from imgserve.errors import ImgserveError, using
from imgserve.server import pidfile
from imgserve.server.pidfile import AlreadyRunning, PidFile
from imgserve.settings.load import Places

STOP_MARGIN_S = 30.0
START_S = 30.0
LOOK_EVERY_S = 0.1
RUNS, DIED, NOT_RUNNING, UNKNOWN = 0, 1, 3, 4  # LSB


class NotEnded(ImgserveError):
    """The server does not stop."""


class RunByAnother(ImgserveError):
    """Something else runs the server."""


class Absent(msgspec.Struct, frozen=True):
    """The output of ``status --json`` when no server answers."""

    status: str
    data_dir: str
    pid: int | None = None


def status(places: Places, *, is_json: bool, is_cluster: bool = False) -> int:
    """Print the state of the server, or of all that share its queue.

    0: it runs, 1: it died, 3: it does not run, 4: only another user may know.
    """
    data_dir = _data_dir(places)
    try:
        server = owner.look(data_dir)
    except NotAllowed as error:
        if is_json:
            show(Absent("unknown", str(data_dir)), "", is_json=True)
        complain(error.sentence())
        return UNKNOWN
    if server.state == "absent" and _is_stale(places, data_dir):
        server = Owner("dead")
    if server.view is None:
        _say_absent(server, data_dir, is_json=is_json)
    elif is_json:
        show(server.view, "", is_json=True)
    elif is_cluster:
        _say_cluster(server.view)
    else:
        _say_running(server, server.view)
    return {"dead": DIED, "absent": NOT_RUNNING}.get(server.state, RUNS)


def stop(places: Places, *, is_kill: bool) -> int:
    """End the server and wait until it is gone: 0 when none runs then. Raises ImgserveError, OSError."""
    data_dir = _data_dir(places)
    server = _started(data_dir, is_kill=is_kill)
    if server.state in ("absent", "dead"):
        say(f"imgserve is not running on {data_dir}")
    else:
        started = time.monotonic()
        _end(data_dir, server, is_kill=is_kill)
        say(f"ended after {time.monotonic() - started:.1f} s")
    with suppress(OSError, AlreadyRunning):
        if pidfile.look(places.pid_file).state == "dead":
            PidFile.take(places.pid_file).release()
    return 0


def check_restart(places: Places) -> None:
    """Raises RunByAnother for a server that this command could not start again as it was, AlreadyRunning."""
    data_dir = _data_dir(places)
    server = owner.look(data_dir)
    supervisor, remedy = _supervisor(server, "restart")
    if supervisor:
        raise RunByAnother(f"the server on {data_dir} (pid {server.pid}) is run by {supervisor}", remedy)
    holder = _pid_file(places)
    if holder.state == "running" and holder.pid != server.pid:
        raise AlreadyRunning(
            f"{places.pid_file} is held by the server on {holder.note.data_dir} (pid {holder.pid})",
            "name another --pid-file, or that server's --data-dir",
        )


def _data_dir(places: Places) -> Path:
    """The named data directory. Where none is named, that of the server that holds the pid file."""
    if not places.is_data_dir_named:
        holder = _pid_file(places)
        if holder.state == "running" and holder.note.data_dir:
            return Path(holder.note.data_dir)
    return places.data_dir


def _pid_file(places: Places) -> pidfile.Seen:
    """Raises FileUnusable, AlreadyRunning."""
    with using(f"the pid file {places.pid_file}", "--pid-file"):
        return pidfile.look(places.pid_file)


def _is_stale(places: Places, data_dir: Path) -> bool:
    holder = _pid_file(places)
    return holder.state == "dead" and holder.note.data_dir in ("", str(data_dir.absolute()))


def _started(data_dir: Path, *, is_kill: bool) -> Owner:
    """The owner, once it has started: before that it cannot drain."""
    ends_at = time.monotonic() + START_S
    while (server := owner.look(data_dir)).state == "starting" and not is_kill and time.monotonic() < ends_at:
        time.sleep(LOOK_EVERY_S)
    return server


def _end(data_dir: Path, server: Owner, *, is_kill: bool) -> None:
    if not server.pid:
        raise NotEnded(
            f"the server on {data_dir} cannot be reached from here: its process is hidden, as in a container",
            "stop the container, or run imgserve stop inside it",
        )
    supervisor, remedy = _supervisor(server, "stop")
    drain_s = server.view.drain_s if server.view else 0.0
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(server.pid)
        try:
            if owner.pid_of(data_dir) != server.pid:  # it has ended meanwhile, and its number may be another's
                return
            if is_kill or not _is_draining(server):  # a second signal would cut short what the first one lets finish
                signal.pidfd_send_signal(descriptor, signal.SIGKILL if is_kill else signal.SIGTERM)
            by = f", run by {supervisor}," if supervisor else ""
            drains = f"takes no more jobs and finishes what runs, for at most {drain_s:g} s"
            drains = drains if server.view else "does not answer, and ends once it can"
            say(f"imgserve (pid {server.pid}){by} {'was killed' if is_kill else drains}")
            if server.view and server.view.started_as in ("systemd", "container"):
                say(f"{supervisor} may start it again; this keeps it stopped: {remedy}")
            if not select.select([descriptor], [], [], drain_s + STOP_MARGIN_S)[0]:
                raise NotEnded(f"imgserve (pid {server.pid}) has not ended", "imgserve stop --kill ends it at once")
        finally:
            os.close(descriptor)


def _is_draining(server: Owner) -> bool:
    return server.view is not None and any(state.name == "draining" for state in server.view.states)


def _supervisor(server: Owner, verb: str) -> tuple[str, str]:
    """The supervisor of a running server and its command for ``verb``; both empty if ``imgserve start`` started it."""
    if server.view is None or server.view.started_as == "daemon":
        return "", ""
    if server.view.started_as == "systemd":
        unit = _unit(server.pid)
        return (f"systemd ({unit})", f"systemctl {verb} {unit}") if unit else ("systemd", f"systemctl {verb} its unit")
    if server.view.started_as == "container":
        return "a container", f"docker {verb} NAME, or what else started the container"
    return f"{_parent(server.pid)} in the foreground", "stop it and start it where it runs"


def _unit(pid: int) -> str:
    """The systemd unit of a process, by its control group (cgroups(7)); empty when that names none."""
    with suppress(OSError):
        names = [line.rpartition("/")[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        return next((name for name in names if name.endswith(".service")), "")
    return ""


def _parent(pid: int) -> str:
    with suppress(OSError):
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]  # proc(5)
        return f"{Path(f'/proc/{parent}/comm').read_text().strip()} (pid {parent})"
    return "another program"


def _say_absent(server: Owner, data_dir: Path, *, is_json: bool) -> None:
    pid = f" (pid {server.pid})" if server.pid else ""
    sentences = {
        "absent": f"imgserve is not running on {data_dir}",
        "dead": f"imgserve died on {data_dir}; its jobs go on with the next start",
        "starting": f"imgserve{pid} holds {data_dir} and is starting, or ending",
        "silent": f"imgserve{pid} holds {data_dir} and does not answer: look at its log",
    }
    word = "not_running" if server.state == "absent" else server.state
    show(Absent(word, str(data_dir), server.pid or None), sentences[server.state], is_json=is_json)


def _say_running(server: Owner, view: ServerView) -> None:
    say(f"pid      {server.pid or 'hidden, as in a container'}")
    say(f"address  {view.address}")
    say(f"uptime   {timedelta(seconds=int(view.uptime_s))}")
    states = [f"{state.name}: {state.detail} ({state.hint})" for state in view.states] or [view.status]
    say("state    " + ("\n" + 9 * " ").join(states))
    say(f"run by   {_supervisor(server, 'stop')[0] or 'imgserve start'}")
    if view.queue_url.startswith("postgres"):
        say(f"role     {view.role}, one of the servers on {view.queue_url}")
    say(f"workers  {_workers(view)}, sandbox {view.sandbox}")
    if view.queue is None:
        say("queue    unknown: it cannot be read now")
        return
    left = f", {view.queue.placeholders_left} placeholders left" if view.queue.placeholders_left else ""
    say(f"queue    {view.queue.accepting + view.queue.queued} waiting, {view.queue.running} running{left}")


def _say_cluster(view: ServerView) -> None:
    if view.nodes is None:
        say("unknown: the queue cannot be read now")
        return
    now = datetime.now(UTC)
    width = max((len(node.name) for node in view.nodes), default=0)
    say(f"{'NODE':<{width}}  {'ROLE':<6}  {'VERSION':<9}  {'STARTED':<19}  {'SEEN':>9}  {'RUNNING':>7}")
    for node in view.nodes:
        seen = f"{age((now - node.seen_at).total_seconds())} ago" if node.is_alive else "dead"
        started = f"{node.started_at:%Y-%m-%d %H:%M:%S}"
        say(f"{node.name:<{width}}  {node.role:<6}  {node.version:<9}  {started}  {seen:>9}  {node.running:>7}")


def _workers(view: ServerView) -> str:
    render, *others = [f"{role.idle + role.busy} {role.role}" for role in view.roles] or [str(len(view.workers))]
    missing = sum(role.missing for role in view.roles)
    more = f" (+{', '.join(others)})" if others else ""
    return render + more + (f", {missing} missing" if missing else "")
