"""Calls to the running server over ``control.sock`` in its data directory. For the commands and ``owner``."""

import contextlib
import http.client
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from imgserve.api.control_socket import Problem, address_in, peer_of
from imgserve.errors import ImgserveError

T = TypeVar("T")

TIMEOUT_S = 60.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
JSON = {"Content-Type": "application/json"}
Params = Mapping[str, str | float | Sequence[str] | None]


def job_path(*words: str) -> str:
    return "/".join(("/v1/jobs", *(quote(word, safe="") for word in words)))


class NoServer(ImgserveError):
    """No server answers."""


class NotAllowed(NoServer):
    """Another user's server: it may run or not."""

    def __init__(self, data_dir: Path) -> None:
        detail = f"{data_dir} belongs to another user, who alone may call its server"
        super().__init__(detail, "run this command as that user, or as root")


class Silent(NoServer):
    """The server gives no answer."""


class Refused(ImgserveError):
    """The server's own words."""


class _ClassicRefusal(msgspec.Struct, frozen=True):
    """The answer of ``POST /`` to a job that it refuses."""

    detail: str


class _Connection(http.client.HTTPConnection):
    def __init__(self, data_dir: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._data_dir = data_dir

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address_in(self._data_dir) as address:
            self.sock.connect(address)


class Client:
    """The server that owns ``data_dir``. Each call has a connection of its own.

    ``peer_pid``: the process at the other end of the last call; 0 where it has no number in this namespace.
    """

    def __init__(self, data_dir: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._data_dir = data_dir
        self._timeout_s = timeout_s
        self.peer_pid = 0

    def server_pid(self) -> int:
        """The process at the other end; 0 if none listens, or it has no number in this namespace."""
        connection = _Connection(self._data_dir, self._timeout_s)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.connect()
            return peer_of(connection.sock).pid
        return 0

    def get(self, path: str, answer: type[T], params: Params | None = None) -> T:
        """``params`` that are None or empty are left out. Raises NoServer, Refused."""
        query = {name: value for name, value in (params or {}).items() if value not in (None, "", ())}
        return self._call("GET", f"{path}?{urlencode(query, doseq=True)}", None, answer)

    def post(self, path: str, answer: type[T], body: bytes = b"") -> T:
        """Raises NoServer, Refused."""
        return self._call("POST", path, body, answer)

    def awaited(self, path: str, answer: type[T], wait_s: int) -> tuple[T, bool]:
        """A job once it has ended, or after ``wait_s``, and whether the server waited. Raises NoServer, Refused."""
        response, data = self._exchange("GET", path, None, {"Prefer": f"wait={wait_s}"})
        return self._answer(response, data, answer), "Preference-Applied" in response.headers

    def submit_classic(self, job: bytes) -> str:
        """Post a job of the classic protocol; its id. Raises NoServer, Refused."""
        response, data = self._exchange("POST", "/", job)
        if job_id := response.headers["X-Imgserve-Job"]:
            return job_id
        if detail := response.headers["X-Imgserve-Detail"]:
            raise Refused(detail, "send one JSON object, as POST / takes it")
        raise Refused(self._decoded(response, data, _ClassicRefusal).detail)

    def _call(self, method: str, target: str, body: bytes | None, answer: type[T]) -> T:
        response, data = self._exchange(method, target, body)
        return self._answer(response, data, answer)

    def _answer(self, response: http.client.HTTPResponse, data: bytes, answer: type[T]) -> T:
        if response.status >= 400:
            problem = self._decoded(response, data, Problem)
            raise Refused(problem.detail, problem.hint)
        return self._decoded(response, data, answer)

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = _Connection(self._data_dir, self._timeout_s)
        try:
            connection.connect()
            self.peer_pid = peer_of(connection.sock).pid
            connection.request(method, target, body, {**headers, **(JSON if body else {})})
            response = connection.getresponse()
            return response, response.read()
        except PermissionError as error:
            raise NotAllowed(self._data_dir) from error
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            hint = "start one, or name another data directory with --data-dir"
            raise NoServer(f"no imgserve is running on the data directory {self._data_dir}", hint) from error
        except ConnectionError as error:
            # It hangs up on strangers, and on everybody when it ends.
            if os.geteuid() not in (0, self._data_dir.stat().st_uid):
                raise NotAllowed(self._data_dir) from error
            raise Silent(f"the server on {self._data_dir} has hung up", "it may be ending: try again") from error
        except (TimeoutError, http.client.HTTPException) as error:
            hint = "look at its log; imgserve stop --kill ends it at once, and no job is lost"
            raise Silent(f"the server on {self._data_dir} gives no answer", hint) from error
        finally:
            connection.close()

    def _decoded(self, response: http.client.HTTPResponse, data: bytes, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=answer)
        except msgspec.DecodeError as error:
            hint = "ask with the imgserve that the server was started with"
            answered = f"answers {response.status} with something that this imgserve cannot read"
            raise Refused(f"the server on {self._data_dir} {answered}", hint) from error
