"""Stores of other kinds than moto, and the way to them: refusals, silence, certificates, proxies, signatures, keys."""

import asyncio
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Login

from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    CredentialNotAllowed,
    DeliveryFailed,
    DeliveryUnknown,
    DestinationRefused,
    SourceNotFound,
    SourceRefused,
    SourceUnavailable,
    TransfersBusy,
)
from imgserve.transfer.protocols.s3_bucket import store_config
from tests.contract.transfer.test_deliver import ODD_NAMES
from tests.support.buckets import Environ, ObjectStore, StartResponse, credential_for, in_bucket
from tests.support.certificates import Authority
from tests.support.habits import KEY, Bench, Flaky, Habit, bench, error, of, swallow
from tests.support.proxying import LittleProxy
from tests.support.transfers import Listener, deliver_bytes, fetch_bytes


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
        it.store.put(KEY, b"theirs")
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


class Redirecting(Habit):
    target = ""

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        start("307 Temporary Redirect", [("Location", self.target), ("Content-Length", "0")])
        return [b""]


async def test_no_redirect_leads_from_https_to_http(tmp_path: Path) -> None:
    """To another port of the same host."""
    authority = Authority(tmp_path)
    habit = Redirecting()
    with Listener() as listener, ObjectStore(habit, authority.server("127.0.0.1")) as store:
        habit.target = f"http://127.0.0.1:{listener.port}/{KEY}"
        transfers = Transfers(Config(ca_file=str(authority.ca_file)), Limits(), credentials=store.credentials)
        with pytest.raises(SourceUnavailable):
            await fetch_bytes(transfers, f"{store.url}/{KEY}")
        await transfers.aclose()
        assert (habit.methods, listener.connections) == ("GET", 0)


async def test_no_redirect_leads_to_another_host() -> None:
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


class Verifying(Habit):
    """Compares each signature with the one that botocore makes of what has come."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[tuple[str, str]] = []

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        login = environ["HTTP_AUTHORIZATION"]
        names = re.findall("SignedHeaders=([^,]*)", login)[0].split(";")
        keys = {name: name.upper().replace("-", "_") for name in names}
        headers = {name: environ.get(f"HTTP_{key}") or environ[key] for name, key in keys.items()}
        method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
        request = AWSRequest(method, f"http://{environ['HTTP_HOST']}{target}", headers)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = S3SigV4Auth(Login("TESTKEY", "key of a test"), "s3", "us-east-1")
        kept = signer.headers_to_sign(request)
        canonical = f"{method}\n{target}\n\n{signer.canonical_headers(kept)}\n\n{';'.join(names)}\n"
        text = signer.string_to_sign(request, canonical + headers["x-amz-content-sha256"])
        if signer.signature(text, request) != login.partition("Signature=")[2] or "x-amz-content-sha256" not in names:
            self.wrong.append((method, target))
        return self.app(environ, start)


async def test_each_request_is_signed_as_botocore_would_sign_it() -> None:
    """moto checks no signature."""
    habit = Verifying()
    async with bench(habit) as it:
        for key in (*map(quote, ODD_NAMES), "a/b/~(1)*!.png", "a:b;c,d@e$=.png", "[x]%7By%7D|^`<>%3F%23.png"):
            await it.deliver(b"placeholder", of(7, "placeholder", 0), key)
            await fetch_bytes(it.transfers, f"{it.store.url}/{key}")
            await it.delete(of(7, "failed"), key)
    assert len(habit.seen) > 5 * len(ODD_NAMES)
    assert habit.wrong == []


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
    given = msgspec.structs.replace(credential_for("http://127.0.0.1:9000", "s3://pics"), **fields)
    access = Credentials({"store": given}).s3_for("", "", "s3://pics/x")
    assert store_config(access, "pics")["endpoint"] == endpoint
