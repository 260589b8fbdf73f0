"""A bucket whose objects are mirrored as files, and whose writes are noted, to be judged like others."""

import io
import threading
from collections.abc import Iterable
from pathlib import Path

from examples.receivers import Event, digest_of

from tests.chaos.receiving import Arrivals
from tests.support.buckets import Environ, StartResponse, WsgiApp


class Mirror:
    """Stands before moto. Requests come one after the other: moto looks at a condition and writes in two steps."""

    def __init__(self, root: Path, log: Arrivals) -> None:
        self._root = root
        self._log = log
        self._turn = threading.Lock()
        self._refused: dict[str, str] = {}

    def refuse_next(self, name: str) -> None:
        """The next write to this object is answered with 503, however often it is sent."""
        self._refused[name] = ""

    def heal(self, name: str) -> None:
        self._refused.pop(name, None)

    def __call__(self, app: WsgiApp) -> WsgiApp:
        def answer(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            with self._turn:
                return self._answer(app, environ, start)

        return answer

    def _answer(self, app: WsgiApp, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        name = environ["PATH_INFO"].lstrip("/").partition("/")[2]
        method, write = environ["REQUEST_METHOD"], environ.get("HTTP_X_AMZ_META_IMGSERVE_WRITE", "")
        if write and self._refused.get(name) in ("", write):
            self._refused[name] = write
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        statuses: list[int] = []

        def begin(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
            statuses.append(int(status.partition(" ")[0]))
            return start(status, headers, *rest)

        answer = list(app(environ, begin))
        if method == "PUT" and write and statuses == [200]:
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            state = environ["HTTP_X_AMZ_META_IMGSERVE_STATE"]
            self._log.add(Event(0.0, "PUT", name, state, len(body), digest_of(body), status=200))
        elif method == "DELETE" and name:
            (self._root / name).unlink(missing_ok=True)
        return answer
