"""Calls to the running server over ``control.sock`` in its data directory. For the commands; they speak no HTTP.

The data directory is named by a descriptor, for its path may be longer than a socket's address holds (107 bytes).
"""

import http.client
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from imgserve.errors import ImgserveError

T = TypeVar("T")

SOCKET_NAME = "control.sock"
TIMEOUT_S = 60.0
Params = Mapping[str, str | int | float | Sequence[str]]


def job_path(*words: str) -> str:
    return "/".join(("/v1/jobs", *(quote(word, safe="") for word in words)))


class NoServer(ImgserveError):
    code = "no_server"
    title = "No server can be asked"


class Refused(ImgserveError):
    """The server's own words."""

    code = "refused"
    title = "The server refused"


class _Told(msgspec.Struct, frozen=True):
    """What a problem of ``api/problems.py`` says to people."""

    detail: str
    hint: str = ""


class _Connection(http.client.HTTPConnection):
    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._data_dir = data_dir

    def connect(self) -> None:
        directory = os.open(self._data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        finally:
            os.close(directory)


class Client:
    """The server that owns ``data_dir``. Each call has a connection of its own."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def get(self, path: str, answer: type[T], params: Params | None = None) -> T:
        """Raises NoServer, Refused."""
        query = urlencode(params or {}, doseq=True)
        return self._call("GET", f"{path}?{query}" if query else path, None, answer)

    def post(self, path: str, answer: type[T], body: bytes = b"") -> T:
        """Raises NoServer, Refused."""
        return self._call("POST", path, body, answer)

    def _call(self, method: str, target: str, body: bytes | None, answer: type[T]) -> T:
        connection = _Connection(self._data_dir)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            status, data = response.status, response.read()
        except PermissionError as error:
            raise NoServer(
                f"{self._data_dir} is another user's, who alone may ask its server", "or ask as root"
            ) from error
        except (FileNotFoundError, NotADirectoryError, ConnectionError) as error:
            hint = "start one, or name another data directory with --data-dir"
            raise NoServer(f"no imgserve is running on the data directory {self._data_dir}", hint) from error
        except (TimeoutError, http.client.HTTPException) as error:
            raise NoServer(f"the server on {self._data_dir} gives no answer") from error
        finally:
            connection.close()
        if status >= 400:
            told = msgspec.json.decode(data, type=_Told)
            raise Refused(told.detail, told.hint)
        return msgspec.json.decode(data, type=answer)
