"""The real server as a subprocess, as a user starts it: for every test that speaks to it from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.support import preloaded
from tests.support.sizes import PATIENCE_S

READY = re.compile(r"listening on (https?://\S+)")
LOOPBACK = ("--allow-network", "127.0.0.0/8")
# Python shows neither otherwise. They go to the log, where the end of a test looks for them. Each newer Python
# deprecates more, of what imgserve uses and of what its libraries do.
WARNINGS = "always:Blob(:ResourceWarning,always::DeprecationWarning"
WARNED = re.compile(r".*(?:ResourceWarning: Blob\(|DeprecationWarning: ).*")
FAILPOINT_SWITCHES = ("failpoint", "nth", "failpoint_file")


class Reply(NamedTuple):
    """What ``POST /`` answered. ``body`` is the parsed JSON."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, object]


class Daemon:
    """``with Daemon(data_dir) as server:``; ``stop`` drains, ``kill`` is SIGKILL, ``start`` starts the same one again.

    ``switches`` are failpoints and settings (``quiet_s``, …) of the next start. The log is kept across restarts.
    ``program`` is what the interpreter ``python`` runs, ``before`` stands in front of the interpreter. Without them the
    server is forked (``preloaded``) if it ``may_fork``: not where its memory, parent or variables are looked at.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        workers: int = 1,
        switches: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "imgserve"),
        before: tuple[str, ...] = (),
        python: str = sys.executable,
        may_fork: bool = True,
    ) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        self.arguments = arguments
        self.workers = workers
        self.switches = dict(switches or {})
        self.environment = dict(environment or {})
        self.program = program
        self.before = before
        self.python = python
        self.may_fork = may_fork
        self.url = ""
        self._process: subprocess.Popen[bytes] | preloaded.Forked | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, timeout_s: float = PATIENCE_S) -> None:
        """Return when it listens. Raises AssertionError with its log when it does not."""
        told = len(self.log)
        environment = {**os.environ, "PYTHONWARNINGS": WARNINGS, **self.environment}
        environment.pop("IMGSERVE_TEST", None)
        failpoints = {name: value for name, value in self.switches.items() if name in FAILPOINT_SWITCHES}
        if failpoints:
            environment["IMGSERVE_TEST"] = json.dumps(failpoints)
        settings = {name: str(value) for name, value in self.switches.items() if name not in FAILPOINT_SWITCHES}
        environment |= {f"IMGSERVE_{name.upper()}": value for name, value in settings.items()}
        words = ["start", "--foreground", "--host", "127.0.0.1", "--port", "0"]
        words += ["--data-dir", str(self.data_dir), "--workers", str(self.workers), *self.arguments]
        is_plain = (self.program, self.before, self.python) == (("-m", "imgserve"), (), sys.executable)
        with self.log_path.open("ab") as log:
            if is_plain and self.may_fork:
                self._process = preloaded.start("imgserve", words, environment, log, log)
            else:
                self._process = subprocess.Popen(
                    [*self.before, self.python, *self.program, *words],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                )  # fmt: skip
        ends_at = time.monotonic() + timeout_s
        while time.monotonic() < ends_at:
            ready = READY.search(self.log[told:])
            if ready:
                self.url = ready[1]
                return
            status = self._process.poll()
            if status is not None:
                raise AssertionError(f"the server ended with {status}:\n{self.log[told:]}")
            time.sleep(0.01)
        raise AssertionError(f"the server is not ready after {timeout_s} s:\n{self.log[told:]}")

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit status, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def post(self, job: object, *, timeout_s: float = PATIENCE_S, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a classic job (an object, or bytes as they are). Raises OSError when the server goes away."""
        body = job if isinstance(job, bytes) else json.dumps(job).encode()
        request = urllib.request.Request(self.url + "/", data=body, headers=dict(headers or {}), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return Reply(answer.status, dict(answer.headers), json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), json.loads(error.read()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            self.kill()
        if error is not None:
            error.add_note(f"the server's log:\n{self.log[-8000:]}")
        else:
            assert not WARNED.findall(self.log)


def wait_until(happened: Callable[[], object], timeout_s: float = PATIENCE_S, every_s: float = 0.03) -> None:
    """Poll until ``happened()`` is true. Raises AssertionError when it never is.

    Between two looks a tenth of the time passes that it has waited, ``every_s`` at most: looks cost time of others.
    """
    started = time.monotonic()
    while not happened():
        waited_s = time.monotonic() - started
        assert waited_s < timeout_s, f"it did not happen within {timeout_s} s"
        time.sleep(min(max(waited_s / 10, 0.002), every_s))
