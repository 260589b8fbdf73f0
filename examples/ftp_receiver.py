"""A small real FTP server that takes pictures and logs what changed; started by the demo, the tests and the benches.

It runs in a thread of its own and is a context manager.
"""

import logging
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.events import Event, Log, digest_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pyftpdlib still builds on asyncore
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

logging.getLogger("pyftpdlib").setLevel(logging.WARNING)


Script = Callable[["_FtpHandler", str, str], bool]


def _serve_all(_session: "_FtpHandler", _command: str, _argument: str) -> bool:
    return False


class FtpReceiver:
    """An FTP server on ``directory`` for user/password. ``rename_over=False`` refuses RNTO onto a file (as IIS does);

    ``knows_rnfr=False`` answers 500 to RNFR. The next ``busy_times`` uploads are answered 450. ``script`` is shown each
    command before it is served, with its argument and the session's handler, and says whether it has dealt with it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rename_over: bool = True,
        knows_rnfr: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.directory = directory
        self.log = Log()
        self.busy_times = 0
        self.script: Script = _serve_all
        self.connections = 0
        receiver = self

        class Handler(_FtpHandler):
            owner = receiver
            may_rename_over = rename_over
            authorizer = DummyAuthorizer()
            auth_failed_timeout = 0  # no need here to slow down guessers

        if not knows_rnfr:
            Handler.proto_cmds = {name: how for name, how in FTPHandler.proto_cmds.items() if name != "RNFR"}
        self._authorizer = Handler.authorizer
        self.add_user("user")
        self._loop = IOLoop()
        self._server = FTPServer((host, port), Handler, ioloop=self._loop)
        self.host, self.port = host, int(self._server.address[1])
        self.url = f"ftp://user:password@{host}:{self.port}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def add_user(self, name: str) -> None:
        self._authorizer.add_user(name, "password", str(self.directory), perm="elradfmwMT")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._loop.loop(timeout=0.01, blocking=False)
        self._server.close_all()
        self._loop.close()


class _FtpHandler(FTPHandler):  # type: ignore[misc]
    """Logs what changes files: STOR when all bytes are there, RNTO, DELE."""

    owner: FtpReceiver
    may_rename_over: bool
    use_sendfile = True
    use_encoding = "utf-8"
    timeout = 60

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        if not self.owner.script(self, cmd, arg):
            super().pre_process_command(line, cmd, arg)

    def on_connect(self) -> None:
        self.owner.connections += 1

    def ftp_STOR(self, file: str, mode: str = "w") -> str | None:
        if self.owner.busy_times > 0:
            self.owner.busy_times -= 1
            self.respond("450 Try again later.")
            return None
        done: str | None = super().ftp_STOR(file, mode)
        return done

    def on_file_received(self, file: str) -> None:
        data = Path(file).read_bytes()
        self._add("STOR", file, len(data), digest_of(data))

    def on_incomplete_file_received(self, file: str) -> None:
        self._add("STOR", file, Path(file).stat().st_size, is_complete=False)

    def ftp_RNTO(self, path: str) -> str | None:
        if not self.may_rename_over and Path(path).exists():
            self._rnfr = None
            self.respond("553 The file exists.")
            return None
        done = super().ftp_RNTO(path)
        if done:
            data = Path(path).read_bytes() if Path(path).is_file() else b""
            self._add("RNTO", path, len(data), digest_of(data))
        return path if done else None

    def ftp_DELE(self, path: str) -> str | None:
        done = super().ftp_DELE(path)
        if done:
            self._add("DELE", path)
        return path if done else None

    def _add(self, kind: str, file: str, size: int = 0, digest: str = "", *, is_complete: bool = True) -> None:
        name = "/" + str(Path(file).relative_to(self.owner.directory.resolve()))
        self.owner.log.add(Event(time.monotonic(), kind, name, "", size, digest, is_complete))
