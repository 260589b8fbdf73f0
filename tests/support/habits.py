"""An object store behind other habits than moto's own, and transfers to and from it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write
from tests.support.buckets import Environ, ObjectStore, StartResponse, WsgiApp, in_bucket
from tests.support.transfers import deliver_bytes, write

KEY = "a/x.png"


def of(output: int, state: str, token: int = 1, etag: str = "", timeout_s: float = 10.0) -> Write:
    """A write of the server ``q``."""
    order = write(state, token, timeout_s)
    return msgspec.structs.replace(order, name=f"q-o{output}", etag=etag)


class Habit:
    """What stands between moto and its clients. ``seen`` are the requests as (method, condition, state)."""

    def __init__(self) -> None:
        self.app: WsgiApp
        self.seen: list[tuple[str, str, str]] = []

    def __call__(self, app: WsgiApp) -> WsgiApp:
        self.app = app
        return self.answer

    def answer(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if "Credential=TESTKEY/20260101" in environ.get("HTTP_AUTHORIZATION", ""):
            return self.app(environ, start)  # the test's own
        condition = environ.get("HTTP_IF_MATCH", "") or environ.get("HTTP_IF_NONE_MATCH", "")
        state = environ.get("HTTP_X_AMZ_META_IMGSERVE_STATE", "")
        self.seen.append((environ["REQUEST_METHOD"], condition, state))
        return self.behave(environ, start)

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        return self.app(environ, start)

    @property
    def methods(self) -> str:
        return " ".join(method for method, _, _ in self.seen)


class Flaky(Habit):
    """Answers ``status`` to the first ``times`` PUTs with a condition of a state; carries them out or not."""

    def __init__(self, status: str, times: int, *, is_done: bool) -> None:
        super().__init__()
        self.status = status
        self.times = times
        self.is_done = is_done

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        method, condition, _ = self.seen[-1]
        if method != "PUT" or condition == '"imgserve"' or self.times == 0:
            return self.app(environ, start)
        self.times -= 1
        if self.is_done:
            list(self.app(environ, lambda *_: lambda _: None))
        else:
            swallow(environ)
        return error(start, self.status)


def error(start: StartResponse, status: str) -> Iterable[bytes]:
    start(status, [("Content-Length", "0")])
    return [b""]


def swallow(environ: Environ) -> None:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


class Bench(NamedTuple):
    store: ObjectStore
    transfers: Transfers

    async def deliver(self, data: bytes, order: Write, key: str = KEY) -> str:
        return (await deliver_bytes(self.transfers, in_bucket(f"{self.store.url}/{key}"), data, order)).etag

    async def delete(self, order: Write, key: str = KEY) -> None:
        await self.transfers.delete(in_bucket(f"{self.store.url}/{key}"), order)

    @property
    def body(self) -> bytes | None:
        found = self.store.get(KEY)
        return None if found is None else found.body


@asynccontextmanager
async def bench(habit: Habit | None = None, config: Config | None = None) -> AsyncIterator[Bench]:
    with ObjectStore(habit or Habit()) as store:
        transfers = Transfers(config or Config(), Limits(), credentials=store.credentials)
        yield Bench(store, transfers)
        await transfers.aclose()
