"""The commands that look for a running server: stop and status. Called by ``cli`` with the place of its pid file."""

import os
import select
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import msgspec

from imgserve import pidfile
from imgserve.errors import ImgserveError
from imgserve.pidfile import Seen

STOP_MARGIN_S = 30.0
ANSWER_TIMEOUT_S = 5.0
DIED, NOT_RUNNING = 1, 3  # LSB


class NotEnded(ImgserveError):
    code = "not_ended"
    title = "The server does not stop"


class Health(msgspec.Struct, frozen=True):
    """What GET /health tells."""

    status: str = "does not answer"
    sandbox: str = "unknown"


def stop(pid_file: Path, *, is_kill: bool) -> int:
    """End the server and wait until it is gone: 0 when none runs then. Raises ImgserveError, OSError."""
    seen = pidfile.look(pid_file)
    if seen.state != "running":
        if seen.state == "dead":
            pidfile.remove_stale(pid_file)
        _say("imgserve is not running")
        return 0
    started = time.monotonic()
    try:
        descriptor = os.pidfd_open(seen.pid)
    except ProcessLookupError:
        return stop(pid_file, is_kill=is_kill)
    try:
        if pidfile.look(pid_file).pid != seen.pid:
            return stop(pid_file, is_kill=is_kill)
        signal.pidfd_send_signal(descriptor, signal.SIGKILL if is_kill else signal.SIGTERM)
        _say(f"imgserve (pid {seen.pid}) {'was killed' if is_kill else _drains(seen)}")
        if not _ends(descriptor, seen.note.drain_s + STOP_MARGIN_S):
            raise NotEnded(f"imgserve (pid {seen.pid}) has not ended", "imgserve stop --kill ends it at once")
    finally:
        os.close(descriptor)
    if pidfile.look(pid_file).state == "dead":
        pidfile.remove_stale(pid_file)
    _say(f"ended after {time.monotonic() - started:.1f} s")
    return 0


def _drains(seen: Seen) -> str:
    return f"takes no more jobs and finishes what runs, for at most {seen.note.drain_s:g} s"


def _ends(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def status(pid_file: Path) -> int:
    """Print what is known of the server. 0: it runs, 1: it died, 3: it does not run. Raises ImgserveError, OSError."""
    seen = pidfile.look(pid_file)
    if seen.state != "running":
        how = "died and left its pid file" if seen.state == "dead" else "is not running"
        _say(f"imgserve {how} ({pid_file})")
        return DIED if seen.state == "dead" else NOT_RUNNING
    health = _health(seen.note.url) if seen.note.url else Health("starting")
    uptime = timedelta(seconds=int(time.time() - seen.note.started_at))
    _say(f"pid      {seen.pid}\naddress  {seen.note.url}\nuptime   {uptime}\nstate    {health.status}")
    _say(f"workers  {_children(seen.pid)}, sandbox {health.sandbox}")
    return 0


def _children(pid: int) -> str:
    try:
        return str(len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return "unknown"


def _health(url: str) -> Health:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # made out to another name than 127.0.0.1
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    reached = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    try:
        with direct.open(f"{reached}/health", timeout=ANSWER_TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read(), type=Health)
    except urllib.error.HTTPError as error:
        with error:
            return msgspec.json.decode(error.read(), type=Health)
    except (OSError, msgspec.DecodeError):
        return Health()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
