"""Messages to webhooks: what goes over the wire, and which answers are errors."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import WebhookFailed, WebhookGone, WebhookRefused
from tests.support.hooks import Receiver
from tests.support.sites import Reply
from tests.support.transfers import LOOPBACK, Listener

BODY = b'{"type":"job.succeeded"}'


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    transfers = Transfers(Config(allow_networks=LOOPBACK, ports=("1-65535",)), Limits())
    yield transfers
    await transfers.aclose()


async def test_bytes_and_headers_arrive_as_they_are(transfers: Transfers) -> None:
    with Receiver() as receiver:
        own = (("X-Shop", "tarts"), ("User-Agent", "shop"))
        assert await transfers.post(f"{receiver.url}/hook?shop=1", ("webhook-id: msg_1",), own, BODY, 5.0) == 204
    (post,) = receiver.seen
    assert (post.method, post.path, post.body) == ("POST", "/hook?shop=1", BODY)
    wanted = {
        "content-type": "application/json", "content-length": str(len(BODY)), "webhook-id": "msg_1", "x-shop": "tarts",
        "user-agent": "shop",
    }  # fmt: skip
    assert wanted.items() <= post.headers.items()
    assert not {"expect", "transfer-encoding"} & post.headers.keys()


async def test_a_connection_is_used_again_and_may_be_dead(transfers: Transfers) -> None:
    """A message is sent at least once, so that one on a dead connection is simply sent again."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    messages: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        for _ in range(1 if messages else 2):  # then it closes the connection without a word
            data = peer.recv(65536)
            while BODY not in data:
                data += peer.recv(65536)
            messages.append(data)
            peer.sendall(answer)

    with Listener(serve) as listener:
        for _ in range(3):
            assert await transfers.post(f"http://127.0.0.1:{listener.port}/", (), (), BODY, 5.0) == 200
            await asyncio.sleep(0.02)
    assert listener.connections == 2
    assert len(messages) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500, 503])
async def test_answers_that_are_errors(transfers: Transfers, status: int) -> None:
    """A redirect too: its target gets nothing."""
    with Receiver() as other, Receiver(lambda _: Reply(status, {"Location": other.url})) as receiver:
        with pytest.raises(WebhookFailed, match=f"127.0.0.1:{receiver.port} answered {status}") as caught:
            await transfers.post(receiver.url, (), (), BODY, 5.0)
        assert (caught.value.code, caught.value.answered) == ("webhook_failed", status)
        assert (len(receiver.seen), other.seen) == (1, [])


async def test_gone_and_retry_after(transfers: Transfers) -> None:
    with Receiver(lambda _: Reply(410, {})) as receiver:
        with pytest.raises(WebhookGone):
            await transfers.post(receiver.url, (), (), BODY, 5.0)
        receiver.answer = lambda _: Reply(429, {"Retry-After": "77"})
        with pytest.raises(WebhookFailed) as caught:
            await transfers.post(receiver.url, (), (), BODY, 5.0)
    assert caught.value.retry_after_s == 77.0


async def test_a_host_that_never_answers_fails_in_time(transfers: Transfers) -> None:
    is_over = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        is_over.wait(20)

    with Listener(say_nothing) as listener:
        started = time.monotonic()
        with pytest.raises(WebhookFailed) as caught:
            await transfers.post(f"http://127.0.0.1:{listener.port}/", (), (), BODY, 0.2)
        assert time.monotonic() - started < 5
        is_over.set()
    assert caught.value.answered is None


async def test_the_guard_judges_it_by_text_and_by_address() -> None:
    transfers = Transfers(Config(ports=("1-65535",)), Limits())
    try:
        with Receiver() as receiver:
            with pytest.raises(WebhookRefused, match="not a public one"):
                transfers.check_webhook(receiver.url)
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(WebhookRefused):
                    await transfers.post(f"http://{host}:{receiver.port}/", (), (), BODY, 5.0)
        assert receiver.seen == []
        transfers.check_webhook("https://example.com/hook")
    finally:
        await transfers.aclose()


async def test_no_sentence_holds_user_name_password_or_query(transfers: Transfers) -> None:
    with Receiver(lambda _: Reply(401, {})) as receiver:
        url = f"http://ann:sesame@127.0.0.1:{receiver.port}/hook?token=rosebud"
        with pytest.raises(WebhookFailed) as caught:
            await transfers.post(url, (), (), BODY, 5.0)
    assert not {"sesame", "rosebud", "ann"} & set(caught.value.sentence().replace(":", " ").replace("?", " ").split())
