"""thumbor itself, on a free port of loopback: the same files as a server of ours, for the same URLs."""

import http.client
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ondemand import Reply
from tests.support.peers import PYTHON
from tests.support.sizes import PATIENCE_S

SETTINGS = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {pictures!r}
STORAGE = "thumbor.storages.no_storage"
ALLOW_UNSAFE_URL = True
QUALITY = {quality}
NON_BLOCKING_SOCKETS = True  # else it waits for connections, and answers none
FILTERS = __import__("thumbor.filters", fromlist=["filters"]).BUILTIN_FILTERS + ["thumbor.filters.autojpg"]
"""


class Thumbor:
    """Shows the files of ``pictures`` to whoever asks."""

    def __init__(self, work: Path, pictures: Path, *, quality: int) -> None:
        self._config = work / "thumbor.conf"
        self._config.write_text(SETTINGS.format(pictures=str(pictures), quality=quality))
        self._log = work / "thumbor.log"

    def __enter__(self) -> Self:
        # It inherits a socket that listens already, so that nothing waits for its start or takes its port.
        with socket.create_server(("127.0.0.1", 0)) as listener, self._log.open("wb") as log:
            self._port = int(listener.getsockname()[1])
            command = [PYTHON, "-m", "thumbor.server", "--fd", str(listener.fileno()), "--conf", str(self._config)]
            fds = (listener.fileno(),)
            self._process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def asked(self, target: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, named, response.read())
        finally:
            connection.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it has nothing to keep
        self._process.wait(PATIENCE_S)
        if error is not None:
            error.add_note(f"thumbor's log:\n{self._log.read_text(errors='replace')[-4000:]}")
