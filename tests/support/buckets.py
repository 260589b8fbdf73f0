"""An object store on loopback: moto's S3 with a bucket, and the credential for it."""

import http.client
import io
import logging
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.tags import EXAMPLE
from imgserve.setting import Secret
from imgserve.transfer.config import CredentialConfig
from imgserve.transfer.credentials import Credentials

# A line for each request would go to the test's output.
logging.getLogger("werkzeug").setLevel(logging.ERROR)

# moto reads who it is, and checks no signature.
_LOGIN = {"Authorization": "AWS4-HMAC-SHA256 Credential=TESTKEY/20260101/us-east-1/s3/aws4_request, Signature=0"}

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

# Of all of moto's servers in this process, which have the same buckets.
_turn = threading.Lock()


def one_at_a_time(app: WsgiApp) -> WsgiApp:
    """moto closes an object's buffer when the object is replaced, and its readers share one position in that buffer:
    two requests for one object at a time are answered with 500, or with the ETag of a part.
    """

    def answer(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if "wsgi.input_terminated" in environ:
            body = environ["wsgi.input"].read()
        else:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with _turn:
            return list(app({**environ, "wsgi.input": io.BytesIO(body)}, start))

    return answer


class Object(NamedTuple):
    """``headers`` have lower-case names."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def state(self) -> str:
        return self.headers.get("x-amz-meta-imgserve-state", "")

    @property
    def mark(self) -> str:
        return self.headers.get("x-amz-meta-imgserve-write", "")


class StoredObject:
    """An object as if it were a file."""

    def __init__(self, store: "ObjectStore", key: str) -> None:
        self._store = store
        self._key = key

    def read_bytes(self) -> bytes:
        found = self._store.get(self._key)
        if found is None:
            raise FileNotFoundError(self._key)
        return found.body

    def write_bytes(self, data: bytes) -> None:
        self._store.put(self._key, data)

    def exists(self) -> bool:
        return self._store.get(self._key) is not None


def in_bucket(url: str) -> Destination:
    return DestinationTemplate("s3", url).fill(EXAMPLE)


def credential_for(endpoint: str, *urls: str) -> CredentialConfig:
    return CredentialConfig("s3", Secret("key of a test"), urls, access_key_id="TESTKEY", endpoint=endpoint)


def settings_of(endpoint: str, url: str) -> str:
    """Of a server whose environment has the key as ``SECRET``."""
    return (
        f'[credential.store]\ntype = "s3"\naccess_key_id = "TESTKEY"\nsecret_env = "SECRET"\n'
        f'endpoint = "{endpoint}"\nfor = ["{url}"]\n'
    )


class ObjectStore:
    """A bucket, one of its own unless it is named: all of moto's servers in a process have the same buckets.

    ``front`` stands between moto and its clients, to do what other stores do. ``requests`` are those that came, as
    method and path. One with ``tls`` begins without its bucket.
    """

    def __init__(
        self,
        front: Callable[[WsgiApp], WsgiApp] = lambda app: app,
        tls: ssl.SSLContext | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        bucket: str = "",
    ) -> None:
        self._app: WsgiApp = front(one_at_a_time(DomainDispatcherApplication(create_backend_app)))
        self._is_tls = tls is not None
        self.bucket = bucket or f"pics-{uuid.uuid4().hex[:12]}"
        self.requests: list[tuple[str, str]] = []
        self._server: BaseWSGIServer = make_server(
            host, port, self._answer, threaded=True, request_handler=MotoRequestHandler, ssl_context=tls
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_tls:
            self._call("PUT", f"/{self.bucket}")
            self.requests.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self._is_tls else ''}://{self._server.host}:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def config(self) -> CredentialConfig:
        return credential_for(self.endpoint, self.url)

    @property
    def settings(self) -> str:
        return settings_of(self.endpoint, self.url)

    @property
    def credentials(self) -> Credentials:
        return Credentials({"store": self.config})

    def put(self, key: str, body: bytes, **headers: str) -> None:
        """As a client that knows nothing of imgserve."""
        self._call("PUT", self._path(key), body, headers)

    def get(self, key: str) -> Object | None:
        return self._call("GET", self._path(key))

    def object(self, key: str) -> StoredObject:
        return StoredObject(self, key)

    def names(self) -> list[str]:
        listing = self._call("GET", f"/{self.bucket}?list-type=2&encoding-type=url")
        assert listing is not None
        return [unquote(key) for key in re.findall("<Key>(.*?)</Key>", listing.body.decode())]

    def clear(self) -> None:
        for key in self.names():
            self._call("DELETE", self._path(key))
        self.requests.clear()

    def _path(self, key: str) -> str:
        return f"/{self.bucket}/{quote(key)}"

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Object | None:
        connection = http.client.HTTPConnection(self._server.host, self._server.server_port)
        try:
            connection.request(method, path, body, _LOGIN | dict(headers or {}))
            answer = connection.getresponse()
            read = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            return None
        assert answer.status in (200, 204), read
        return Object(read, {name.lower(): value for name, value in answer.getheaders()})

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return self._app(environ, start_response)
