"""nginx and HAProxy in front of a server, each in the plainest configuration that its manual begins with."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pytest

from tests.support.ports import free_port
from tests.support.sizes import PATIENCE_S

Name = Literal["nginx", "haproxy"]
FRONTS: tuple[Name, ...] = ("nginx", "haproxy")
NGINX = """
daemon off;
master_process off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    {site}
}}
"""
SITE = """
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{server};
        }}
    }}
"""
HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen front
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{server}
"""


class Front:
    """Listens on ``port`` of loopback and passes on to the server at ``server``. Without its program: a skip.

    ``site``: of nginx, what stands in its block http, with PORT for the port.
    """

    def __init__(self, name: Name, server: int, work: Path, site: str = "") -> None:
        program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            pytest.skip(f"{name} is not installed; to run this: apt-get install {name}")
        work.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        text = NGINX if name == "nginx" else HAPROXY
        site = site.replace("PORT", str(self.port)) or SITE.format(port=self.port, server=server)
        (work / "conf").write_text(text.format(work=work, port=self.port, server=server, site=site))
        flags = ["-c", str(work / "conf"), "-p", str(work)] if name == "nginx" else ["-db", "-f", str(work / "conf")]
        self._command = [program, *flags]
        self._output = work / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return self
        self._end()
        raise AssertionError(f"{self._command[0]} does not listen:\n{self._output.read_text(errors='replace')}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
