"""A client of the native API in the tests: jobs by JSON, with one key."""

import hashlib
import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.support.daemon import Daemon
from tests.support.ondemand import FORM, form
from tests.support.sizes import PATIENCE_S


class Answer(NamedTuple):
    """``body`` is the JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def faults(self) -> list[tuple[str, str]]:
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.body["request_id"] == self.headers["x-request-id"]
        return [(fault["path"], fault["code"]) for fault in self.body["errors"]]


class Caller:
    """``key`` empty: a program of this machine, while there are no keys."""

    def __init__(self, server: Daemon, key: str = "") -> None:
        self.server = server
        self.key = key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        """Names of headers have ``_`` for ``-``. Raises OSError when the server goes away."""
        if body is None:
            return self._sent(method, target, None, **headers)
        return self._sent(method, target, json.dumps(body).encode(), **{"Content-Type": "application/json"}, **headers)

    def _sent(self, method: str, target: str, body: bytes | None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=PATIENCE_S)
        sent = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, json.loads(response.read()))
        except http.client.HTTPException as error:  # cut off
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def upload(self, job: object, *parts: tuple[str, bytes], target: str = "/v1/jobs", **headers: str) -> Answer:
        """A form with the job, and the pictures of ``parts`` by their names."""
        return self._sent("POST", target, form(("job", json.dumps(job).encode()), *parts), **FORM, **headers)

    def raw(self, body: bytes, target: str = "/v1/jobs", **headers: str) -> Answer:
        return self._sent("POST", target, body, **headers)

    def submit(self, job: object, **headers: str) -> Answer:
        return self("POST", "/v1/jobs", job, **headers)

    def job(self, job_id: str) -> Any:
        answer = self("GET", f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer
        return answer.body

    def ended(self, job_id: str) -> Any:
        """The job, once it has ended."""
        while (answer := self("GET", f"/v1/jobs/{job_id}", Prefer="wait=20")).body["ended_at"] is None:
            assert answer.status == 200, answer
        return answer.body

    def page(self, **query: str | int) -> Any:
        answer = self("GET", f"/v1/jobs?{urlencode(query)}")
        assert answer.status == 200, answer
        return answer.body


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
