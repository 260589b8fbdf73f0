"""Objects in buckets: what conditions and marks do, also when answers are lost. moto, alone and behind other habits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import pytest

from imgserve.request.access import Access
from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers, Write
from imgserve.transfer.faults import (
    CredentialNotAllowed,
    DeliveryFailed,
    DeliveryUnknown,
    DestinationRefused,
    NewerThere,
    NotOurs,
    SourceNotFound,
    SourceRefused,
    SourceUnavailable,
    TransfersBusy,
)
from tests.support.buckets import Environ, ObjectStore, StartResponse, WsgiApp, credential_for, in_bucket
from tests.support.certificates import Authority
from tests.support.proxying import LittleProxy
from tests.support.transfers import Listener, deliver_bytes, fetch_bytes, write

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


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectStore]:
    with ObjectStore() as store:
        yield store


@pytest.fixture
async def plain(shared: ObjectStore) -> AsyncIterator[Bench]:
    shared.clear()
    transfers = Transfers(Config(), Limits(), credentials=shared.credentials)
    yield Bench(shared, transfers)
    await transfers.aclose()


async def test_an_object_says_what_it_is(plain: Bench) -> None:
    await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    first = plain.store.get(KEY)
    await plain.deliver(b"picture", of(7, "final"))
    last = plain.store.get(KEY)
    assert first is not None
    assert last is not None
    assert first.headers["content-type"] == last.headers["content-type"] == "image/png"
    assert (first.headers["x-amz-meta-imgserve-state"], first.headers["cache-control"]) == ("placeholder", "no-store")
    assert (last.headers["x-amz-meta-imgserve-state"], last.headers.get("cache-control")) == ("final", None)
    assert (first.mark, last.mark) == ("q-o7-0", "q-o7-1")


async def test_the_final_goes_under_the_placeholders_etag_without_a_look() -> None:
    habit = Habit()
    async with bench(habit) as it:
        etag = await it.deliver(b"placeholder", of(7, "placeholder", 0))
        habit.seen.clear()
        await it.deliver(b"picture", of(7, "final", etag=etag))
        assert habit.seen == [("PUT", etag, "final")]
        assert it.body == b"picture"


async def test_headers_of_the_job(plain: Bench) -> None:
    headers = (("Cache-Control", "public, max-age=9"), ("Content-Disposition", "inline"), ("X-Amz-Meta-Shop", "4711"))
    place = msgspec.structs.replace(in_bucket(f"{plain.store.url}/{KEY}"), access=Access(headers))
    kept = ("cache-control", "content-disposition", "x-amz-meta-shop")
    for order, caching in ((of(7, "placeholder", 0), "no-store"), (of(7, "final"), "public, max-age=9")):
        await deliver_bytes(plain.transfers, place, b"picture", order)
        found = plain.store.get(KEY)
        assert found is not None
        assert [found.headers[name] for name in kept] == [caching, "inline", "4711"]


async def test_a_large_result_goes_in_one_put(plain: Bench) -> None:
    await plain.deliver(b"x" * 6_000_000, of(7, "final"))
    assert {method for method, _ in plain.store.requests} == {"HEAD", "PUT"}
    assert plain.body == b"x" * 6_000_000


class Held(Habit):
    """Keeps the first conditional PUT of a placeholder until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.is_done = threading.Event()

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if self.seen[-1][1:] != ("*", "placeholder"):
            return self.app(environ, start)
        self.go_on.wait(10)
        answer = list(self.app(environ, start))
        self.is_done.set()
        return answer


async def test_a_placeholder_that_arrives_late_is_refused_by_the_store() -> None:
    habit = Held()
    async with bench(habit) as it:
        with pytest.raises(DeliveryUnknown):
            await it.deliver(b"placeholder", of(7, "placeholder", 0, timeout_s=0.3))
        await it.deliver(b"picture", of(7, "final"))
        habit.go_on.set()
        assert await asyncio.to_thread(habit.is_done.wait, 5)
        assert it.body == b"picture"


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


@pytest.mark.parametrize("state", ["placeholder", "final", "failed"])
async def test_a_lost_answer_of_a_write_that_arrived(state: str) -> None:
    habit = Flaky("500 Internal Server Error", 1, is_done=True)
    async with bench(habit) as it:
        etag = await it.deliver(b"picture", of(7, state))
        assert habit.methods == "HEAD PUT PUT HEAD"
        found = it.store.get(KEY)
        assert found is not None
        assert found.headers["etag"] == etag


async def test_a_write_that_was_lost_is_sent_again() -> None:
    habit = Flaky("503 Slow Down", 1, is_done=False)
    async with bench(habit) as it:
        await it.deliver(b"picture", of(7, "final"))
        assert habit.methods == "HEAD PUT PUT HEAD PUT PUT"
        assert it.body == b"picture"


async def test_a_store_in_trouble_leaves_the_outcome_open() -> None:
    async with bench(Flaky("503 Slow Down", 99, is_done=False)) as it:
        with pytest.raises(DeliveryUnknown):
            await it.deliver(b"picture", of(7, "final"))


class Meddling(Habit):
    """Has ``writes`` done by others just before the conditional PUTs, one before each."""

    def __init__(self, *writes: Callable[[ObjectStore], None]) -> None:
        super().__init__()
        self.store: ObjectStore
        self.writes = list(writes)

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        method, condition, _ = self.seen[-1]
        if method == "PUT" and condition != '"imgserve"' and self.writes:
            self.writes.pop(0)(self.store)
        return self.app(environ, start)


def foreign(store: ObjectStore) -> None:
    store.put(KEY, b"somebody else's")


def ours(output: int, state: str) -> Callable[[ObjectStore], None]:
    def put(store: ObjectStore) -> None:
        store.put(KEY, b"ours", **marks(f"q-o{output}-1", state))

    return put


def marks(write: str, state: str) -> dict[str, str]:
    return {"x-amz-meta-imgserve-write": write, "x-amz-meta-imgserve-state": state}


@pytest.mark.parametrize("meddler", [foreign, ours(6, "final"), ours(6, "placeholder"), ours(7, "failed")])
@pytest.mark.parametrize("state", ["placeholder", "final"])
async def test_what_came_in_between_is_overwritten(meddler: Callable[[ObjectStore], None], state: str) -> None:
    habit = Meddling(meddler)
    async with bench(habit) as it:
        habit.store = it.store
        await it.deliver(b"picture", of(7, state))
        assert it.body == b"picture"


@pytest.mark.parametrize("state", ["placeholder", "final", "failed"])
@pytest.mark.parametrize("newer", ["placeholder", "final", "failed"])
async def test_a_newer_job_that_came_in_between_supersedes(state: str, newer: str) -> None:
    habit = Meddling(ours(8, newer))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(NewerThere):
            await it.deliver(b"picture", of(7, state))
        assert it.body == b"ours"


async def test_a_newer_job_that_came_with_a_lost_answer_supersedes() -> None:
    class Losing(Meddling):
        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if len(self.writes) == 1 and self.seen[-1][1] == "*":
                swallow(environ)
                self.writes.pop()(self.store)
                return error(start, "503 Slow Down")
            return super().behave(environ, start)

    habit = Losing(ours(8, "placeholder"))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(NewerThere):
            await it.deliver(b"picture", of(7, "final"))
        assert it.body == b"ours"


async def test_a_mark_that_others_have_made_up_is_none(plain: Bench) -> None:
    for mark in ("", "q", "q-o9-1-", "q-o-1", "-o9-1", f"q-o{'9' * 1_000}-1"):
        plain.store.put(KEY, b"theirs", **marks(mark, "final"))
        await plain.deliver(b"picture", of(7, "final"))
        assert plain.body == b"picture"


async def test_others_that_write_all_the_time_are_a_fault_that_passes() -> None:
    habit = Meddling(*(lambda store, n=n: store.put(KEY, b"%d" % n) for n in range(9)))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(DeliveryFailed) as caught:
            await it.deliver(b"picture", of(7, "final"))
        assert caught.value.is_retryable


async def test_a_failure_picture_replaces_makeshift_pictures_of_this_server_alone(plain: Bench) -> None:
    for put in (ours(7, "placeholder"), ours(3, "failed")):
        put(plain.store)
        await plain.deliver(b"failed", of(7, "failed", 2))
        assert plain.body == b"failed"
    for put in (foreign, ours(7, "final"), lambda store: store.put(KEY, b"x", **marks("p-o1-1", "placeholder"))):
        put(plain.store)
        before = plain.body
        with pytest.raises(NotOurs):
            await plain.deliver(b"failed", of(7, "failed", 2))
        with pytest.raises(NotOurs):
            await plain.delete(of(7, "failed", 2))
        assert plain.body == before


async def test_a_failure_picture_does_not_come_back_after_its_placeholder_was_deleted(plain: Bench) -> None:
    etag = await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    plain.store.clear()
    with pytest.raises(NotOurs):
        await plain.deliver(b"failed", of(7, "failed", etag=etag))
    assert plain.body is None
    await plain.deliver(b"failed", of(7, "failed"))  # it is not known whether there was a placeholder
    assert plain.body == b"failed"


async def test_deletion(plain: Bench) -> None:
    await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    await plain.delete(of(7, "failed"))
    assert plain.body is None
    await plain.delete(of(7, "failed"))


async def test_a_placeholder_of_a_newer_job_that_was_refused_is_overwritten(plain: Bench) -> None:
    etag = await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    ours(8, "placeholder")(plain.store)
    await plain.deliver(b"picture", of(7, "final", etag=etag))
    assert plain.body == b"picture"


@pytest.mark.parametrize(
    ("put", "is_foreign"),
    [(foreign, True), (ours(1, "final"), True), (ours(1, "placeholder"), False), (ours(9, "failed"), False)],
)
async def test_what_may_stay(plain: Bench, put: Callable[[ObjectStore], None], is_foreign: bool) -> None:
    place = in_bucket(f"{plain.store.url}/{KEY}")
    assert not await plain.transfers.is_foreign(place, of(7, "placeholder"))
    put(plain.store)
    assert await plain.transfers.is_foreign(place, of(7, "placeholder")) == is_foreign


class Heedless(Habit):
    """A store that knows no conditions: it ignores them, or refuses each request that has one."""

    def __init__(self, refusal: str) -> None:
        super().__init__()
        self.refusal = refusal

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        has_condition = {environ.pop("HTTP_IF_MATCH", None), environ.pop("HTTP_IF_NONE_MATCH", None)} != {None}
        if has_condition and self.refusal:
            swallow(environ)
            return error(start, self.refusal)
        return self.app(environ, start)


@pytest.mark.parametrize("refusal", ["", "501 Not Implemented"])
async def test_a_store_without_conditions_is_found_out_once(refusal: str) -> None:
    habit = Heedless(refusal)
    async with bench(habit) as it:
        await it.deliver(b"placeholder", of(7, "placeholder", 0))
        habit.seen.clear()
        await it.deliver(b"picture", of(7, "final"))
        assert habit.seen == [("HEAD", "", ""), ("PUT", "", "final")]
        assert it.body == b"picture"


async def test_a_moment_of_trouble_does_not_make_a_store_one_without_conditions() -> None:
    class Starting(Habit):
        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if self.methods == "HEAD PUT":
                swallow(environ)
                return error(start, "503 Slow Down")
            return self.app(environ, start)

    habit = Starting()
    async with bench(habit) as it:
        await it.deliver(b"one", of(7, "placeholder", 0))
        foreign(it.store)
        habit.seen.clear()
        etag = await it.deliver(b"two", of(7, "final"))
        assert [condition for method, condition, _ in habit.seen if method == "PUT"][-1].startswith('"')
        assert (it.body, bool(etag)) == (b"two", True)


class Denying(Habit):
    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.denied = methods

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in self.denied:
            swallow(environ)
            return error(start, "403 Forbidden")
        return self.app(environ, start)


async def test_a_key_that_may_not_list_the_bucket() -> None:
    """S3 answers its HEAD of a missing object with 403."""
    async with bench(Denying("HEAD")) as it:
        await it.deliver(b"picture", of(7, "final"))
        assert it.body == b"picture"
        with pytest.raises(DeliveryFailed, match="refuses the credential") as caught:
            await it.deliver(b"another", of(8, "final"))
        assert "s3:ListBucket" in caught.value.sentence()
        assert not caught.value.is_retryable
        assert it.body == b"picture"


async def test_a_lost_answer_to_a_key_that_may_not_list_the_bucket() -> None:
    """It may or may not be there, so no refusal may follow from it."""

    class Both(Flaky):
        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if self.seen[-1][0] == "HEAD":
                return error(start, "403 Forbidden")
            return super().behave(environ, start)

    async with bench(Both("500 Internal Server Error", 1, is_done=True)) as it:
        with pytest.raises((DeliveryUnknown, DeliveryFailed)) as caught:
            await it.deliver(b"picture", of(7, "placeholder", 0))
        assert caught.type is DeliveryUnknown


async def test_a_refused_key_is_a_definite_failure() -> None:
    async with bench(Denying("HEAD", "PUT", "GET")) as it:
        with pytest.raises(DeliveryFailed) as caught:
            await it.deliver(b"picture", of(7, "placeholder", 0))
        with pytest.raises(SourceUnavailable) as refused:
            await fetch_bytes(it.transfers, f"{it.store.url}/{KEY}")
        assert not caught.value.is_retryable
        assert not refused.value.is_retryable


async def test_a_missing_bucket_is_a_definite_failure(plain: Bench) -> None:
    config = msgspec.structs.replace(plain.store.config, urls=("s3://no-such-bucket",))
    transfers = Transfers(Config(), Limits(), credentials=Credentials({"store": config}))
    with pytest.raises(DeliveryFailed, match="no such bucket") as caught:
        await deliver_bytes(transfers, in_bucket(f"s3://no-such-bucket/{KEY}"), b"x", of(7, "placeholder", 0))
    with pytest.raises(SourceNotFound):
        await fetch_bytes(transfers, f"s3://no-such-bucket/{KEY}")
    assert not caught.value.is_retryable
    await transfers.aclose()


async def test_a_server_that_is_away(plain: Bench) -> None:
    with Listener() as listener:
        port = listener.port
    config = msgspec.structs.replace(plain.store.config, endpoint=f"http://127.0.0.1:{port}")
    transfers = Transfers(Config(), Limits(), credentials=Credentials({"store": config}))
    with pytest.raises(DeliveryFailed) as caught:
        await deliver_bytes(transfers, in_bucket(f"{plain.store.url}/{KEY}"), b"x", of(7, "placeholder", 0))
    with pytest.raises(SourceUnavailable) as unread:
        await fetch_bytes(transfers, f"{plain.store.url}/{KEY}")
    for fault in (caught.value, unread.value):
        assert fault.is_retryable
        assert f"127.0.0.1:{port}" in fault.sentence()
        assert "key of a test" not in fault.sentence()
    await transfers.aclose()


class Silent(Habit):
    def __init__(self) -> None:
        super().__init__()
        self.is_over = threading.Event()

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        self.is_over.wait(10)
        return error(start, "500 Internal Server Error")


async def test_a_silent_server_costs_the_writes_time_and_holds_its_slots() -> None:
    habit = Silent()
    async with bench(habit, Config(max_per_host=1, source_timeout_s=0.2)) as it:
        held = asyncio.create_task(it.deliver(b"picture", of(7, "placeholder", 0, timeout_s=0.5)))
        await asyncio.sleep(0.1)
        with pytest.raises(TransfersBusy):
            await it.deliver(b"picture", of(8, "placeholder", 0, timeout_s=0.1))
        with pytest.raises(DeliveryFailed, match="too long") as caught:
            await held
        assert caught.value.is_retryable
        with pytest.raises(SourceUnavailable, match="too long"):
            await fetch_bytes(it.transfers, f"{it.store.url}/{KEY}")
        assert it.transfers.slots.held == 0
        habit.is_over.set()


async def test_no_redirect_leads_to_another_host() -> None:
    class Redirecting(Habit):
        target = ""

        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            start("307 Temporary Redirect", [("Location", self.target), ("Content-Length", "0")])
            return [b""]

    habit = Redirecting()
    with Listener() as listener:
        habit.target = f"http://localhost:{listener.port}/{KEY}"
        async with bench(habit) as it:
            with pytest.raises(SourceUnavailable):
                await fetch_bytes(it.transfers, f"{it.store.url}/{KEY}")
            with pytest.raises(DeliveryFailed):
                await it.deliver(b"picture", of(7, "placeholder", 0))
        assert listener.connections == 0


async def test_a_store_with_a_certificate_of_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with ObjectStore(tls=authority.server("127.0.0.1")) as store:
        faults = []
        for ca_file in ("", str(authority.ca_file)):
            transfers = Transfers(Config(ca_file=ca_file), Limits(), credentials=store.credentials)
            with pytest.raises(DeliveryFailed) as caught:
                await deliver_bytes(transfers, in_bucket(f"{store.url}/{KEY}"), b"x", of(7, "final"))
            faults.append(caught.value)
            await transfers.aclose()
    assert [fault.is_retryable for fault in faults] == [True, False]
    assert "no such bucket" in faults[1].detail  # it has answered


@pytest.mark.parametrize("addressing", ["path", "virtual"])
async def test_a_proxy(plain: Bench, addressing: Literal["path", "virtual"]) -> None:
    port = plain.store.endpoint.rpartition(":")[2]
    endpoint = f"http://store.test:{port}"
    config = msgspec.structs.replace(plain.store.config, endpoint=endpoint, addressing=addressing)
    host = f"{plain.store.bucket}.store.test" if addressing == "virtual" else "store.test"
    with LittleProxy({host: "127.0.0.1"}) as proxy:
        setting = Config(proxy=f"http://127.0.0.1:{proxy.port}")
        transfers = Transfers(setting, Limits(), credentials=Credentials({"store": config}))
        with suppress(DeliveryFailed, DeliveryUnknown):  # moto knows no such host
            await deliver_bytes(transfers, in_bucket(f"{plain.store.url}/{KEY}"), b"x", of(7, "final"))
        await transfers.aclose()
    bucket = "" if addressing == "virtual" else f"{plain.store.bucket}/"
    assert proxy.log[0] == f"HEAD http://{host}:{port}/{bucket}{KEY}"


async def test_a_socks_proxy_is_refused(plain: Bench) -> None:
    transfers = Transfers(Config(proxy="socks5://127.0.0.1:1080"), Limits(), credentials=plain.store.credentials)
    with pytest.raises(SourceRefused, match="SOCKS"):
        transfers.check_source(parse_source(f"{plain.store.url}/{KEY}"))
    with pytest.raises(DestinationRefused, match="SOCKS"):
        transfers.check_destination(in_bucket(f"{plain.store.url}/{KEY}"))
    await transfers.aclose()


async def test_the_environment_changes_nothing(plain: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of the environment")
    logins: set[str] = set()

    class Listening(Habit):
        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
            logins.add(token + environ["HTTP_AUTHORIZATION"].partition("/")[0])
            return self.app(environ, start)

    async with bench(Listening()) as it:
        await it.deliver(b"picture", of(7, "final"))
        assert it.body == b"picture"
    assert logins == {"AWS4-HMAC-SHA256 Credential=TESTKEY"}


async def test_one_object_has_one_key_and_two_servers_have_two(plain: Bench) -> None:
    url = f"{plain.store.url}/a/x.png"
    other = msgspec.structs.replace(plain.store.config, endpoint="https://store.example.com")
    elsewhere = Transfers(Config(), Limits(), credentials=Credentials({"store": other}))
    one, two = in_bucket(url), in_bucket(url.replace("a/x", "a%2Fx"))
    keys = [(await plain.transfers.with_real_key(place, "")).key for place in (one, two)]
    server = plain.store.endpoint.removeprefix("http://")
    assert keys == [f"s3://{server}/{plain.store.bucket}/a/x.png"] * 2
    assert (await elsewhere.with_real_key(one, "")).origin == "s3://store.example.com:443"
    assert await plain.transfers.is_same_file(parse_source(url), two, "")
    assert not await plain.transfers.is_same_file(parse_source(url + "1"), two, "")
    await elsewhere.aclose()


async def test_another_principal_and_another_bucket_get_no_key(plain: Bench) -> None:
    config = msgspec.structs.replace(plain.store.config, principals=("shop",))
    transfers = Transfers(Config(), Limits(), credentials=Credentials({"store": config}))
    order = msgspec.structs.replace(of(7, "final"), principal="shop")
    place = in_bucket(f"{plain.store.url}/{KEY}")
    await deliver_bytes(transfers, place, b"x", order)
    for principal, url in (("other", f"{plain.store.url}/{KEY}"), ("shop", f"s3://another-bucket/{KEY}")):
        with pytest.raises(CredentialNotAllowed):
            await deliver_bytes(transfers, in_bucket(url), b"x", msgspec.structs.replace(order, principal=principal))
    await transfers.aclose()


@pytest.mark.parametrize(
    ("fields", "endpoint"),
    [
        ({}, "http://127.0.0.1:9000"),
        ({"addressing": "virtual"}, "http://pics.127.0.0.1:9000"),
        ({"endpoint": ""}, "https://pics.s3.us-east-1.amazonaws.com"),
        ({"endpoint": "", "region": "eu-central-1"}, "https://pics.s3.eu-central-1.amazonaws.com"),
        ({"endpoint": "", "addressing": "path"}, "https://s3.us-east-1.amazonaws.com"),
    ],
)
def test_the_endpoint_of_a_bucket(fields: dict[str, str], endpoint: str) -> None:
    from imgserve.transfer.protocols.s3_bucket import store_config

    given = msgspec.structs.replace(credential_for("http://127.0.0.1:9000", "s3://pics"), **fields)
    access = Credentials({"store": given}).s3_for("", "", "s3://pics/x")
    assert store_config(access, "pics")["endpoint"] == endpoint
