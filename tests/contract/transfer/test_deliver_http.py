"""What is special about deliveries by HTTP: answers, pages with forms, redirects, headers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from examples.receivers import Behaviour, HttpReceiver

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    CannotAsk,
    DeliveryFailed,
    DeliveryUnknown,
)
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, read_page, write


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, write_roots=(str(tmp_path),)), Limits(), read_page)
    yield made
    await made.aclose()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(tmp_path) as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("status", "is_retryable"), [(403, False), (404, False), (429, True), (500, True), (302, False)]
)
async def test_an_answer_that_refuses_is_definite(
    transfers: Transfers, http: HttpReceiver, status: int, is_retryable: bool
) -> None:
    http.behave("/", Behaviour(status=status, kinds=("PUT",), headers={"Retry-After": "7"}))
    with pytest.raises(DeliveryFailed) as caught:
        await deliver_bytes(transfers, destination("put", http.url + "/x.png"), b"picture", write())
    assert caught.value.is_retryable == is_retryable
    assert caught.value.retry_after_s == 7
    assert len(http.log.of("PUT")) == 1


@pytest.mark.parametrize(("status", "remedy"), [(302, "the URL that it redirects to"), (415, "server's log")])
async def test_an_answer_that_refuses_has_a_remedy(
    transfers: Transfers, http: HttpReceiver, status: int, remedy: str
) -> None:
    http.behave("/", Behaviour(status=status, kinds=("PUT",)))
    with pytest.raises(DeliveryFailed, match=f"answered {status} to the delivery") as caught:
        await deliver_bytes(transfers, destination("put", http.url + "/x.png"), b"picture", write())
    assert remedy in caught.value.hint


async def test_a_placeholder_is_tried_twice_on_5xx(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(status=503, times=1, kinds=("PUT",)))
    await deliver_bytes(transfers, destination("put", http.url + "/x.png"), b"p", write("placeholder"))
    assert [event.status for event in http.log.of("PUT")] == [503, 201]


@pytest.mark.parametrize("how", [Behaviour(cut=True), Behaviour(never=True)])
@pytest.mark.parametrize("kind", ["put", "form"])
async def test_no_answer_after_the_bytes_is_unknown(
    transfers: Transfers, http: HttpReceiver, kind: str, how: Behaviour
) -> None:
    how = Behaviour(cut=how.cut, never=how.never, kinds=("PUT", "POST"))
    http.behave("/", how)
    place = destination(kind, http.url + ("/x.png" if kind == "put" else "/upload.html"), name="x.png")
    with pytest.raises(DeliveryUnknown):
        await deliver_bytes(transfers, place, b"picture", write(timeout_s=1.0))
    assert len(http.log.of("PUT", "POST")) == 1


async def test_a_page_that_gives_no_answer_is_the_posts_own_failure(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/upload.html", Behaviour(never=True))
    place = destination("form", http.url + "/upload.html", name="x.png")
    with pytest.raises(DeliveryFailed):
        await deliver_bytes(transfers, place, b"picture", write(timeout_s=0.5))
    assert not http.log.of("POST")


async def test_a_page_without_a_form_is_posted_to(transfers: Transfers, http: HttpReceiver, tmp_path: Path) -> None:
    place = destination("form", http.url + "/direct", name="x.png")
    await deliver_bytes(transfers, place, b"picture", write())
    assert (tmp_path / "uploads" / "x.png").read_bytes() == b"picture"


@pytest.mark.parametrize("status", [307, 308])
async def test_a_307_is_sent_again_once(transfers: Transfers, http: HttpReceiver, tmp_path: Path, status: int) -> None:
    http.behave("/old", Behaviour(status=status, redirect="/new.png"))
    await deliver_bytes(transfers, destination("put", http.url + "/old.png"), b"picture", write("failed"))
    assert (tmp_path / "new.png").read_bytes() == b"picture"
    http.behave("/new", Behaviour(status=status, redirect="/old.png"))
    with pytest.raises(DeliveryFailed):
        await deliver_bytes(transfers, destination("put", http.url + "/old.png"), b"picture", write("failed"))
    assert len(http.log.of("PUT")) == 4


async def test_a_wrong_size_found_afterwards_is_a_reason_to_send_once_more(
    transfers: Transfers, http: HttpReceiver
) -> None:
    http.behave("/", Behaviour(status=204, kinds=("PUT",), times=1))
    (http.directory / "x.png").write_bytes(b"old and longer")
    delivery = await deliver_bytes(transfers, destination("put", http.url + "/x.png"), b"new", write())
    assert delivery.is_verified
    assert len(http.log.of("PUT")) == 2


async def test_what_a_redirect_leads_to_says_nothing_about_a_delivery(
    transfers: Transfers, http: HttpReceiver, tmp_path: Path
) -> None:
    (tmp_path / "other.png").write_bytes(b"old and longer")
    http.behave("/x", Behaviour(status=302, redirect="/other.png", kinds=("HEAD",)))
    delivery = await deliver_bytes(transfers, destination("put", http.url + "/x.png"), b"new", write())
    assert not delivery.is_verified


async def test_headers_tell_the_state_and_presigned_urls_are_not_asked(
    transfers: Transfers, http: HttpReceiver
) -> None:
    for state in ("placeholder", "failed", "final"):
        await deliver_bytes(transfers, destination("put", http.url + "/x.png?sig=1"), b"p", write(state))
    assert [event.state for event in http.log.of("PUT")] == ["placeholder", "failed", "final"]
    assert not http.log.of("HEAD")


async def test_a_cancelled_write_stops(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(never=True, kinds=("PUT",)))
    place = destination("put", http.url + "/x.png")
    task = asyncio.create_task(deliver_bytes(transfers, place, b"picture", write()))
    assert await asyncio.to_thread(http.log.wait_for, lambda events: bool(events))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    http.behave("/", Behaviour(times=0))
    await deliver_bytes(transfers, place, b"picture", write())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (Behaviour(status=405, kinds=("HEAD",)), CannotAsk),
        (Behaviour(status=501, kinds=("HEAD",)), CannotAsk),
        (Behaviour(status=403, kinds=("HEAD",)), DeliveryFailed),
        (Behaviour(reset=True, kinds=("HEAD",)), DeliveryFailed),
    ],
    ids=["405", "501", "403", "reset"],
)
async def test_a_server_that_does_not_tell_what_lies_there(
    transfers: Transfers, http: HttpReceiver, behaviour: Behaviour, error: type[Exception]
) -> None:
    http.behave("/", behaviour)
    with pytest.raises(error):
        await transfers.size_of(destination("put", f"{http.url}/x.png"), write())


async def test_a_server_that_does_not_tell_in_time_may_have_anything(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(never=True, kinds=("HEAD",)))
    assert await transfers.size_of(destination("put", f"{http.url}/x.png"), write(timeout_s=0.1)) == 0
