"""Webhooks over real parts: a receiver gets what ended, signed, until it takes it; nobody else gets anything."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager

import msgspec
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from svix.webhooks import Webhook as Svix
from svix.webhooks import WebhookVerificationError as SvixVerificationError

from imgserve.engine import delivery, host_turns, webhooks
from imgserve.engine.host_turns import SILENT
from imgserve.engine.outbox import Outbox
from imgserve.jobs.model import Accepted, OutboxEntry, OutputResult, Settlement
from imgserve.request.webhook import Webhook
from tests.integration.test_pool import until
from tests.support.hooks import NEW_SECRET, SECRET, TAKEN, Receiver, signer, verify
from tests.support.plant import Plant
from tests.support.queues import claimed
from tests.support.sites import Reply, Seen
from tests.support.sizes import PATIENCE_S
from tests.support.transfers import Listener

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOWN = Reply(503, {})
TRIES_AT_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def told_by(made: Plant, receiver: Receiver, *secrets: str) -> Webhook:
    made.transfers.credentials.replace({"hook": signer(receiver.url, *secrets)})
    return Webhook(f"{receiver.url}/hook?token=t", secret="hook", headers=(("X-Shop", "tarts"),))


class Tries:
    """Tries of the outbox at a time of the test's own, one claim after the other."""

    def __init__(self, made: Plant, now: float) -> None:
        self.now = now
        self._made = made
        self._outbox = Outbox(made.queue, {"webhook": self._send}, 8, clock=lambda: self.now, jitter=lambda: 0.5)

    async def _send(self, entry: OutboxEntry) -> int:
        assert entry.message is not None
        return await webhooks.send(entry.message, self._made.transfers, time.time())

    async def at(self, now: float, most: int = 8) -> int:
        """How many there were."""
        self.now = now
        work = await self._made.queue.take_outbox(most, now)
        for entry in work.entries:
            await self._outbox.send(entry)
        return len(work.entries)


async def ended(made: Plant, webhook: Webhook, name: str = "a.png", principal: str = "") -> tuple[Accepted, float]:
    """A job that has just succeeded, and when."""
    entry = await made.released(made.file(name), webhook=webhook, principal=principal)
    now = time.time()
    claim = await claimed(made.queue, now)
    result = OutputResult(claim.outputs[0].id, "delivered", size_bytes=1, sha256=b"1" * 32)
    await made.queue.settle(Settlement(claim.number, claim.token, (result,)), now)
    return entry, now


@asynccontextmanager
async def running(made: Plant, max_outbox: int = 8) -> AsyncIterator[None]:
    runner = made.runner(max_outbox=max_outbox)
    runner.start()
    try:
        yield
    finally:
        await runner.stop(0.2)


async def until_posts(receiver: Receiver, count: int = 1) -> list[Seen]:
    ends_at = time.monotonic() + PATIENCE_S
    while len(receiver.posts()) < count:
        assert time.monotonic() < ends_at, "it did not come"
        await asyncio.sleep(0.005)
    return receiver.posts()


async def tries_of(made: Plant, entries: Iterable[Accepted]) -> list[int]:
    """How often each has been sent, to an answer or to a time-out."""
    return [len(told.tries) for entry in entries for told in await made.queue.webhook_log(entry.id)]


async def until_told(made: Plant, entry: Accepted) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not all(told.tries for told in await made.queue.webhook_log(entry.id)):  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.005)


async def test_a_job_ends_and_its_webhook_knows(made: Plant, hook: Receiver) -> None:
    """Both secrets sign, so that a receiver may know either; two libraries' verifiers agree."""
    webhook = told_by(made, hook, SECRET, NEW_SECRET)
    async with running(made):
        entry = await made.released(made.file("a.png"), webhook=webhook)
        (post,) = await until_posts(hook)
    assert (post.path, post.headers["x-shop"]) == ("/hook?token=t", "tarts")
    assert post.headers["webhook-id"].startswith("msg_")
    for secret in (SECRET, NEW_SECRET):
        event = verify(post, secret)
        Svix(secret).verify(post.body, dict(post.headers))
    for library in (Verifier, Svix):
        with pytest.raises((WebhookVerificationError, SvixVerificationError)):
            library("whsec_" + "A" * 32).verify(post.body, dict(post.headers))
    assert (event["type"], event["data"]["job"]["id"]) == ("job.succeeded", entry.id)
    (told,) = await made.queue.webhook_log(entry.id)
    assert (told.state, [(one.status, one.error) for one in told.tries]) == ("done", [(204, None)])
    assert (await made.queue.counts()).webhooks == 0


async def test_a_receiver_that_never_takes_it(made: Plant, hook: Receiver) -> None:
    """Ten tries within a day, each with the same id and bytes, signed anew; then it is abandoned, until a replay."""
    hook.answer = lambda _: DOWN
    entry, start = await ended(made, told_by(made, hook))
    tries = Tries(made, start)
    for number, at in enumerate(TRIES_AT_S):
        assert await tries.at(start + at - 1) == 0, number
        assert await tries.at(start + at) == 1, number
    assert await tries.at(start + 10 * 86_400) == 0
    posts = hook.posts()
    assert len(posts) == 10
    assert len({(post.headers["webhook-id"], post.body) for post in posts}) == 1
    assert all(verify(post) for post in posts)
    (told,) = await made.queue.webhook_log(entry.id)
    assert (told.state, {(one.status, one.error) for one in told.tries}) == ("abandoned", {(503, "webhook_failed")})
    counts = await made.queue.counts()
    assert (counts.webhooks, counts.webhooks_abandoned, counts.placeholders_left) == (0, 1, 0)
    assert [state.sentence for state in made.queue.states()] == ["1 message to webhooks will not be tried again"]
    hook.answer = lambda _: TAKEN
    assert await made.queue.replay_webhooks(entry.id, start + 11 * 86_400) == 1
    assert await tries.at(start + 11 * 86_400) == 1
    assert (hook.posts()[-1].headers["webhook-id"], hook.posts()[-1].body) == (
        posts[0].headers["webhook-id"],
        posts[0].body,
    )
    assert list(made.queue.states()) == []


async def test_a_receiver_that_is_down_for_forty_minutes_misses_nothing(made: Plant, hook: Receiver) -> None:
    webhook = told_by(made, hook)
    entries = [await ended(made, webhook, f"{number}.png") for number in range(5)]
    start = entries[-1][1]
    tries = Tries(made, start)
    hook.answer = lambda _: TAKEN if tries.now >= start + 2400 else DOWN
    for minute in range(0, 180, 5):
        await tries.at(start + 60 * minute + 6)
    taken = {verify(post)["data"]["job"]["id"] for post in hook.posts()[-5:]}
    assert taken == {entry.id for entry, _ in entries}
    assert (await made.queue.counts()).webhooks == 0


async def test_gone_ends_all_tries_of_its_principal_for_that_url(made: Plant, hook: Receiver) -> None:
    webhook = told_by(made, hook)
    elsewhere = msgspec.structs.replace(webhook, url=f"{hook.url}/other")
    hook.answer = lambda _: DOWN
    await ended(made, webhook, "a.png", "ann")
    for name, principal, told in (("b.png", "ann", webhook), ("c.png", "bob", webhook), ("d.png", "ann", elsewhere)):
        _, now = await ended(made, told, name, principal)
    tries = Tries(made, now)
    assert await tries.at(now) == 4
    hook.answer = lambda _: Reply(410, {})
    assert await tries.at(now + 5, most=1) == 1
    counts = await made.queue.counts()
    assert (counts.webhooks, counts.webhooks_abandoned) == (2, 2)
    left = (await made.queue.take_outbox(8, now + 6)).entries
    assert {(one.message.principal, one.message.url) for one in left if one.message} == {
        ("bob", webhook.url), ("ann", elsewhere.url),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("retry_after", "waits_s"), [("2", 5), ("900", 900), ("99999999", 21_600)]
)  # libcurl takes 6 h at most
async def test_retry_after_puts_a_try_off(made: Plant, hook: Receiver, retry_after: str, waits_s: int) -> None:
    hook.answer = lambda _: Reply(429, {"Retry-After": retry_after})
    _, start = await ended(made, told_by(made, hook))
    tries = Tries(made, start)
    assert [await tries.at(start + at) for at in (0, waits_s - 1, waits_s)] == [1, 0, 1]


async def test_without_its_secret_nothing_is_sent(made: Plant, hook: Receiver) -> None:
    """A credential that has gone heals: SIGHUP may bring it back."""
    webhook = told_by(made, hook)
    entry, start = await ended(made, webhook)
    made.transfers.credentials.replace({})
    tries = Tries(made, start)
    assert [await tries.at(start + at) for at in (0, 5)] == [1, 1]
    assert hook.seen == []
    told_by(made, hook)
    assert await tries.at(start + 300) == 1
    assert len(hook.posts()) == 1
    (told,) = await made.queue.webhook_log(entry.id)
    assert [(one.status, one.error) for one in told.tries] == [
        (None, "credential_not_allowed"), (None, "credential_not_allowed"), (204, None),
    ]  # fmt: skip


async def test_a_silent_host_holds_up_no_other(made: Plant, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve messages for it come first, and there are four places."""
    monkeypatch.setattr(delivery, "SLOW_AFTER_S", 0.1)
    is_over = threading.Event()
    with Listener(lambda _: [is_over.wait()].clear()) as silent:
        silent_url = f"http://127.0.0.1:{silent.port}/hook"
        made.transfers.credentials.replace({"hook": signer(hook.url), "silent": signer(silent_url)})
        held = [(await ended(made, Webhook(silent_url, secret="silent"), f"{nth}.png"))[0] for nth in range(12)]
        await ended(made, Webhook(hook.url, secret="hook"), "good.png")
        async with running(made, max_outbox=4):
            await until_posts(hook)
            assert await tries_of(made, held) == [0] * 12, "it waited for no time-out of the others"
            await until(lambda: silent.connections >= 1, "nothing was sent to the silent host")
        is_over.set()


async def test_many_silent_hosts_hold_up_no_other(made: Plant, hook: Receiver) -> None:
    """Each of them has more messages than the outbox has places, and nothing is known of them yet."""
    is_over = threading.Event()
    with ExitStack() as stack:
        silent = [stack.enter_context(Listener(lambda _: [is_over.wait()].clear())) for _ in range(6)]
        stack.callback(is_over.set)
        urls = [f"http://127.0.0.1:{one.port}/hook" for one in silent]
        signers = {f"silent{nth}": signer(url) for nth, url in enumerate(urls)}
        made.transfers.credentials.replace({"hook": signer(hook.url), **signers})
        held = [(await ended(made, Webhook(urls[nth % 6]), f"{nth}.png"))[0] for nth in range(60)]
        await ended(made, Webhook(hook.url), "good.png")
        async with running(made, max_outbox=8):
            await until_posts(hook)
            assert await tries_of(made, held) == [0] * 60, "it waited for no time-out of the others"
            assert all(one.connections == 1 for one in silent)


async def test_hosts_that_take_their_time_hold_up_no_other(made: Plant, hook: Receiver) -> None:
    """They count as answering, and have more messages than the outbox has places."""

    def in_time(_: Seen) -> Reply:
        time.sleep(0.5)
        return TAKEN

    with Receiver(in_time) as one, Receiver(in_time) as two:
        made.transfers.credentials.replace({nth: signer(at.url) for nth, at in (("a", hook), ("b", one), ("c", two))})
        for number in range(40):
            await ended(made, Webhook((one, two)[number % 2].url), f"{number}.png")
        async with running(made, max_outbox=4):
            await until_posts(one, 5)
            await made.released(made.file("good.png"), webhook=Webhook(hook.url))
            await until_posts(hook)
            assert len(one.posts()) + len(two.posts()) < 30, "it came before what was there already"


async def test_a_slow_receiver_gets_all_without_delay_and_delays_no_other(
    made: Plant, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time. Those that find no place in its line come back soon, and are not charged for it."""
    monkeypatch.setattr(delivery, "SLOW_AFTER_S", 0.05)
    monkeypatch.setattr(host_turns, "SILENT", SILENT._replace(put_off_s=0.2))
    at_once: list[int] = []
    under_way: set[int] = set()

    def slow(seen: Seen) -> Reply:
        under_way.add(id(seen))
        at_once.append(len(under_way))
        time.sleep(0.1)
        under_way.discard(id(seen))
        return TAKEN

    with Receiver(slow) as other:
        made.transfers.credentials.replace({"hook": signer(hook.url), "slow": signer(other.url)})
        entries = [(await ended(made, Webhook(other.url, secret="slow"), f"{nth}.png"))[0] for nth in range(16)]
        await ended(made, Webhook(hook.url, secret="hook"), "good.png")
        started = time.monotonic()
        async with running(made, max_outbox=4):
            await until_posts(hook)
            assert len(other.posts()) < 12
            await until_posts(other, 16)
            assert time.monotonic() - started < SILENT.put_off_s, "none was put off for long"
            for entry in entries:  # what came of the last ones is stored a moment later
                await until_told(made, entry)
    assert max(at_once) == 2
    tries = [told.tries for entry in entries for told in await made.queue.webhook_log(entry.id)]
    assert [len(one) for one in tries] == [1] * 16
