"""An operator in the tests: the ``imgserve`` command as a subprocess, and plain HTTP over a server's control.sock."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.daemon import Daemon, wait_until


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def ask(data_dir: Path, method: str, target: str, body: bytes | None = None) -> Answer:
    connection = SocketConnection(data_dir / "control.sock")
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(response.read()))
    finally:
        connection.close()


def submitted(data_dir: Path, job: bytes) -> str:
    """The id of a job of the classic protocol, which the operator posts."""
    answer = ask(data_dir, "POST", "/", job)
    assert "x-imgserve-job" in answer.headers, answer
    return answer.headers["x-imgserve-job"]


def command(*words: str | Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "imgserve", *map(str, words)]
    variables = {**os.environ, **environment}
    return subprocess.run(line, input=stdin, capture_output=True, timeout=60, env=variables)


class Operator:
    """``imgserve WORDS --data-dir …`` for one server."""

    def __init__(self, server: Daemon) -> None:
        self.server = server

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return command(*words, "--data-dir", self.server.data_dir, stdin=stdin)

    def shown(self, job_id: str) -> dict[str, Any]:
        told = self("jobs", "show", job_id, "--json")
        assert told.returncode == 0, told.stderr
        shown: dict[str, Any] = json.loads(told.stdout)
        return shown

    def status_of(self, job_id: str) -> str:
        return str(ask(self.server.data_dir, "GET", f"/v1/jobs/{job_id}").body["status"])

    def until(self, job_id: str, status: str) -> None:
        wait_until(lambda: self.status_of(job_id) == status)
