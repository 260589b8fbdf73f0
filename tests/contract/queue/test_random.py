"""Jobs, crashes and time at random, with fixed seeds, judged by what the destinations would have seen.

``World`` is the receiver and the servers around the queue: it writes when the queue grants it, keeps each place's log,
and holds every grant and every end against the promise of docs/guarantees.md.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from imgserve.jobs.event_views import EventQuery
from imgserve.jobs.faults import NotCancellable, NotRetryable
from imgserve.jobs.lanes import ORDER
from imgserve.jobs.model import (
    Accepted,
    Claim,
    Intent,
    Message,
    OutboxEntry,
    OutputResult,
    PlaceholderResult,
    ResultStatus,
    Settlement,
)
from imgserve.jobs.protocol import Busy, Denied, Granted, Queue
from imgserve.request.job import ResolvedOutput
from imgserve.request.webhook import Webhook
from tests.support.queues import START, House, failure_of, final_of, moved, new_job, output, placeholder_of
from tests.support.sizes import sized

PLACES = (
    "http://place.test:80/a.png", "http://place.test:80/b.png", "http://far.test:80/c.png", "http://far.test:80/d.png",
)  # fmt: skip
FORM = "http://place.test:80/up#file:a.png"
ENDS = {"succeeded", "failed", "cancelled", "superseded"}
QUIET_S = 15.0
# Principals and the user names in their URLs: two that write to the same files, and one that has files of its own.
WEBHOOK = Webhook("https://hook.test/in")
USERS = {"ann": "x", "bob": "x", "carl": "y"}


class Taken(msgspec.Struct):
    """A job in intake, and what became of its placeholders so far."""

    entry: Accepted
    outputs: tuple[ResolvedOutput, ...]
    states: dict[int, PlaceholderResult]


class World:
    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.chance = random.Random(seed)  # of webhooks and streams
        self.now = START
        self.queue: Queue
        self.taken: list[Taken] = []
        self.claims: list[tuple[Claim, dict[int, Granted | Denied]]] = []
        self.entries: list[tuple[OutboxEntry, Granted | Denied | None]] = []
        self.in_flight: dict[str, Intent] = {}
        self.quiet_until: dict[str, float] = {}
        self.log: dict[str, list[Intent]] = defaultdict(list)
        self.released: set[int] = set()
        self.not_before: dict[int, float] = {}
        self.waiting: dict[int, set[str]] = {}
        self.forgotten: set[int] = set()
        self.accepted: set[int] = set()
        self.ids: dict[int, str] = {}
        self.sizes: dict[int, int] = {}
        self.principals: dict[int, str] = {}
        self.taken_at: set[tuple[int, str]] = set()
        self.tokens: dict[int, int] = defaultdict(int)
        self.claim_tokens: dict[int, int] = {}
        # Of each output by its id: failures so far, when it is due again, and those that have ended by themselves.
        self.failures: dict[int, int] = defaultdict(int)
        self.due: dict[int, float] = {}
        self.failed: dict[int, set[int]] = defaultdict(set)
        self.delivered: set[int] = set()
        self.partly_cancelled: set[int] = set()
        self.ended: dict[int, str] = {}
        # Of jobs with a webhook the ends so far; of each message its bytes, and of each job the types that were told.
        self.ends: dict[int, list[str]] = defaultdict(list)
        self.watched: set[int] = set()
        self.refused: set[int] = set()
        self.messages: dict[str, tuple[int, bytes]] = {}
        self.told: dict[int, set[str]] = defaultdict(set)
        self.seen: list[tuple[int, str, str]] = []
        self.happened: set[str] = set()

    async def enqueue(self) -> None:
        chosen = self.random.sample([*PLACES, FORM], self.random.choice([1, 1, 2, 3, 5]))
        is_bare = self.random.random() < 0.2
        principal = self.random.choice(["ann", "ann", "bob", "carl"])
        outputs = tuple(
            with_user(output(key, "form" if key == FORM else "put", is_bare=is_bare), USERS[principal])
            for key in chosen
        )
        not_before = self.now + self.random.randint(1, 60) if self.random.random() < 0.15 else None
        priority = self.random.choice(ORDER)
        job = new_job(*outputs)
        webhook = WEBHOOK if self.chance.random() < 0.5 else None
        job = msgspec.structs.replace(
            job, principal=principal, priority=priority, not_before=not_before, webhook=webhook
        )
        entry = await self.queue.enqueue(job, self.now)
        assert isinstance(entry, Accepted)
        if not_before is not None:
            self.not_before[entry.number] = not_before
        assert entry.number > max(self.accepted, default=0)
        self.accepted.add(entry.number)
        self.ids[entry.number] = entry.id
        self.watched |= {entry.number} if webhook else set()
        self.sizes[entry.number] = len(outputs)
        self.principals[entry.number] = principal
        self.taken.append(Taken(entry, outputs, {}))

    async def place(self) -> None:
        """Try one placeholder that has not been tried."""
        for job in self.random.sample(self.taken, len(self.taken)):
            for output_id, spec in zip((place.id for place in job.entry.outputs), job.outputs, strict=True):
                if spec.placement.placeholder.style != "none" and output_id not in job.states:
                    answer = await self.ask(placeholder_of(job.entry, output_id, spec))
                    if isinstance(answer, Granted):
                        state = self.random.choice(["written", "written", "unknown"])
                        job.states[output_id] = PlaceholderResult(
                            output_id, "unknown" if state == "unknown" else "written"
                        )
                    elif isinstance(answer, Denied):
                        assert answer.why == "overtaken"
                        job.states[output_id] = PlaceholderResult(output_id, "none")
                    return

    async def finish_intake(self) -> None:
        if not self.taken:
            return
        job = self.random.choice(self.taken)
        wanted = [
            i
            for i, spec in zip((place.id for place in job.entry.outputs), job.outputs, strict=True)
            if spec.placement.placeholder.style != "none"
        ]
        is_complete = set(wanted) == set(job.states)
        number, states = job.entry.number, tuple(job.states.values())
        if is_complete and self.random.random() < 0.8:
            await self.queue.activate(number, states, self.now)
            self.waiting[number] = {
                spec.placement.destination.key
                for output_id, spec in zip((place.id for place in job.entry.outputs), job.outputs, strict=True)
                if output_id in job.states and job.states[output_id].state == "written"
            }
            if self.not_before.get(number, 0.0) <= self.now:
                self.activated(number)
        elif not is_complete and self.random.random() < 0.3:
            await self.queue.refuse(number, states, "delivery_failed", "no", self.now)
            if any(state.state in ("written", "unknown") for state in states):
                self.refused.add(number)
                self.happened.add("refused and owing")
            else:
                self.forgotten.add(number)
        else:
            return
        self.taken.remove(job)
        self.land(number, 0)

    def activated(self, number: int) -> None:
        """The job has its place in the order now."""
        self.released.add(number)
        self.taken_at |= {(number, key) for key in self.waiting.pop(number, ())}

    async def take_work(self) -> None:
        work = await self.queue.take_work(self.random.randint(0, 2), self.now)
        entries = await self.take_outbox(self.random.randint(0, 2))
        everything: list[Claim | OutboxEntry] = [*work.claims, *entries]
        for held in everything:
            assert held.token > self.tokens[held.number]
            assert held.number not in self.ended or isinstance(held, OutboxEntry)
            self.tokens[held.number] = held.token
        for claim in work.claims:
            assert claim.outputs
            if claim.number not in self.released:
                assert self.not_before[claim.number] <= self.now
                self.activated(claim.number)
                self.happened.add("waited for its time")
            self.happened.add("part of a job" if len(claim.outputs) < self.sizes[claim.number] else "whole job")
            for place in claim.outputs:
                assert self.due.get(place.id, 0.0) <= self.now, "before its time"
                assert place.attempts == self.failures[place.id], "its neighbours' failures"
                assert place.id not in self.delivered | self.failed[claim.number], "it had ended"
        self.claim_tokens |= {claim.number: claim.token for claim in work.claims}
        self.claims += [(claim, {}) for claim in work.claims]
        self.entries += [(owed, None) for owed in entries]

    async def write_final(self) -> None:
        if not self.claims:
            return
        claim, answers = self.random.choice(self.claims)
        for place in claim.outputs:
            if place.id not in answers:
                answer = await self.ask(final_of(claim, place))
                if not isinstance(answer, Busy):
                    answers[place.id] = answer
                return

    async def settle(self) -> None:
        if not self.claims:
            return
        claim, answers = self.claims.pop(self.random.randrange(len(self.claims)))
        results = []
        for place in claim.outputs:
            match answers.get(place.id):
                case Granted():
                    results.append(self.result(place.id, ("delivered", "failed", "retry")))
                case Denied(why="overtaken"):
                    results.append(OutputResult(place.id, "superseded"))
                case _:
                    results.append(self.result(place.id, ("failed", "retry")))
        done = Settlement(claim.number, claim.token, tuple(results))
        is_ours = await self.queue.settle(done, self.now)
        assert not is_ours or claim.token == self.claim_tokens[claim.number]
        if not is_ours:
            self.happened.add("lost claim")
        for place, result in zip(claim.outputs, results, strict=True):
            if is_ours:
                self.note(claim.number, result)
            if is_ours and result.status == "delivered":
                self.taken_at.add((claim.number, place.spec.placement.destination.key))
                self.note_covered(claim.number, place.spec.placement.destination.key)
        self.land(claim.number, claim.token)

    def note(self, number: int, result: OutputResult) -> None:
        self.failures[result.output_id] += result.charge == "attempt"
        if result.status == "retry" and result.due_at is not None:
            self.due[result.output_id] = result.due_at
        elif result.status == "failed":
            self.failed[number].add(result.output_id)
        else:
            self.delivered.add(result.output_id)

    def result(self, output_id: int, statuses: tuple[ResultStatus, ...]) -> OutputResult:
        return OutputResult(output_id, self.random.choice(statuses), "attempt", self.now + self.random.randint(0, 5))

    async def pay(self) -> None:
        if not self.entries:
            return
        owed, _ = self.entries.pop(self.random.randrange(len(self.entries)))
        answer = await self.ask(failure_of(owed))
        if isinstance(answer, Busy):
            await self.queue.settle_entry(owed, self.now + 1, self.now)
        elif isinstance(answer, Granted):
            outcome = self.random.choice(["done", "done", "again"])
            await self.queue.settle_entry(owed, "done" if outcome == "done" else self.now + 1, self.now)
            self.happened.add("entry done")
        elif answer.why == "overtaken":
            await self.queue.settle_entry(owed, "cancelled", self.now)
        self.land(owed.number, owed.token)

    async def take_outbox(self, count: int) -> list[OutboxEntry]:
        """Entries of outputs. The webhooks that are due before them are tried."""
        taken: list[OutboxEntry] = []
        while owed := (await self.queue.take_outbox(count - len(taken), self.now)).entries:
            for entry in owed:
                if entry.message is None:
                    taken.append(entry)
                else:
                    await self.tell(entry, entry.message)
        return taken

    async def tell(self, entry: OutboxEntry, message: Message) -> None:
        """A try to send a webhook: it arrives and is noted, or is to be repeated, or its sender does not return."""
        assert self.messages.setdefault(message.id, (entry.number, message.body)) == (entry.number, message.body)
        self.told[entry.number].add(message.id)
        outcome = self.chance.choice(["done", "done", "again", "lost"])
        if outcome != "lost":
            await self.queue.settle_entry(entry, "done" if outcome == "done" else self.now + 9, self.now)
        self.happened.add(f"webhook {outcome}")

    async def follow(self) -> None:
        """A stream goes on after the last event that it has seen, also at the next server."""
        after = self.seen[-1][0] if self.seen else 0
        page = await self.queue.events_after(EventQuery(after, self.chance.randint(1, 20)), self.now)
        assert not page.is_gap
        self.seen += [(event.number, event.job_id, event.type) for event in page.events]

    async def cancel(self) -> None:
        """An operator picks a job, whatever its state; what is refused must have changed nothing."""
        number = self.pick({"queued", "running"})
        if number is None:
            return
        is_writing = any(
            (intent.number, intent.kind) == (number, "final") and intent.token == self.claim_tokens.get(number)
            for intent in self.in_flight.values()
        )
        before = self.house.statuses()
        try:
            await self.queue.cancel(self.ids[number], self.now)
        except NotCancellable:
            assert self.house.statuses() == before
            self.happened.add("cancel refused")
        else:
            is_ended = self.house.statuses()[number] == "cancelled"
            assert is_ended != is_writing, "cancelled in the middle of a final, or left open without one"
            self.partly_cancelled |= set() if is_ended else {number}
            self.happened.add("cancelled" if is_ended else "partly cancelled")

    async def retry(self) -> None:
        number = self.pick({"failed"})
        if number is None:
            return
        try:
            await self.queue.retry(self.ids[number], None, 86_400.0, self.now)
        except NotRetryable:
            assert self.house.statuses()[number] == "failed"
            self.happened.add("retry refused")
        else:
            self.ended.pop(number, None)
            for output_id in self.failed.pop(number, set()):
                self.failures[output_id], self.due[output_id] = 0, self.now
            self.happened.add("retried")

    def pick(self, wanted: set[str]) -> int | None:
        self.check_ends()
        found = [number for number, status in self.house.statuses().items() if status in wanted]
        return self.random.choice(found) if found else None

    async def let_time_pass(self) -> None:
        self.now += self.random.choice([1, 1, 5, 20, 61])
        await self.follow()
        await self.queue.heartbeat(tuple(claim for claim, _ in self.claims if self.random.random() < 0.7), self.now)

    async def crash(self) -> None:
        self.check_ends()
        for job in self.taken:
            if self.not_before.get(job.entry.number, 0.0) <= self.now:
                self.released.add(job.entry.number)
        for key, intent in self.in_flight.items():
            self.log[key].append(intent)
            self.quiet_until[key] = self.now + QUIET_S
            self.happened.add("cut off")
        self.in_flight.clear()
        self.taken, self.claims, self.entries = [], [], []
        self.queue = await self.house.open(self.now)

    async def ask(self, intent: Intent) -> Granted | Busy | Denied:
        answer = await self.queue.acquire(intent, self.now)
        if isinstance(answer, Granted):
            assert intent.key not in self.in_flight, "two writes at once"
            assert self.now >= self.quiet_until.get(intent.key, 0.0), "a write while the dead server's may still arrive"
            self.check_order(intent)
            self.in_flight[intent.key] = intent
        elif isinstance(answer, Denied):
            self.happened.add(answer.why)
            is_expected = answer.why == "lost" or intent.number in self.partly_cancelled or self.goes_before(intent)
            assert is_expected, f"{intent} was overtaken by nobody"
        return answer

    def goes_before(self, intent: Intent) -> list[int]:
        """Whose write or word forbids this one: newer jobs of its principal, and what was taken from another's.

        A failure picture gives way to any final that was taken, however old.
        """
        principal = self.principals[intent.number]
        files = USERS[principal]
        own = [n for n in self.released if n > intent.number and self.principals[n] == principal]
        taken = [
            number
            for number, key in self.taken_at
            if key == intent.key
            and USERS[self.principals[number]] == files
            and (number > intent.number or intent.kind == "failed")
        ]
        return own + taken

    def note_covered(self, number: int, key: str) -> None:
        """An older job's final has come over another principal's placeholder that may have arrived."""
        for intent in self.log[key]:
            if intent.number > number and self.principals[intent.number] != self.principals[number]:
                self.happened.add("older final after another's write")

    def check_order(self, intent: Intent) -> None:
        if intent.key == FORM:
            return
        seen = self.log[intent.key]
        newer = [each for each in seen if each.number > intent.number and each.number in self.released]
        own = [each for each in newer if self.principals[each.number] == self.principals[intent.number]]
        taken = [each for each in newer if (each.number, each.key) in self.taken_at and self.is_same_file(each, intent)]
        assert not own, f"{intent} after {own}"
        assert not taken, f"{intent} after {taken}"
        if newer:
            self.happened.add("after another's untaken write")

    def is_same_file(self, one: Intent, other: Intent) -> bool:
        return USERS[self.principals[one.number]] == USERS[self.principals[other.number]]

    def land(self, number: int, token: int) -> None:
        """The writes of a claim have ended; the worst case is that they all arrived."""
        for key, intent in list(self.in_flight.items()):
            if (intent.number, intent.token) == (number, token):
                self.log[key].append(self.in_flight.pop(key))

    def check_ends(self) -> None:
        for number, status in self.house.statuses().items():
            before = self.ended.get(number)
            assert before in (None, status), f"{number} was {before}, is {status}"
            if status in ENDS and before is None:
                self.ends[number].append(f"job.{status}")
            if status in ENDS:
                self.ended[number] = status

    async def drive_to_rest(self) -> None:
        steps = (self.place, self.finish_intake, self.take_work, self.write_final, self.settle, self.pay)
        for _ in range(2000):
            for step in steps:
                await step()
            self.now += 1
            counts = await self.queue.counts()
            owed = counts.placeholders_left + counts.webhooks
            if not (self.taken or self.claims or self.entries or counts.waiting or owed):
                return
        raise AssertionError("it does not come to rest")

    async def check_told(self) -> None:
        """Each end was told once, under one id, and each event was seen once, in its order."""
        for number in self.accepted - self.forgotten:
            told = [msgspec.json.decode(self.messages[message_id][1])["type"] for message_id in self.told[number]]
            is_told = number in self.watched and number not in self.refused
            assert sorted(told) == sorted(self.ends[number] if is_told else [])
        seen = -1
        while seen != len(self.seen):
            seen = len(self.seen)
            await self.follow()
        numbers = [number for number, _, _ in self.seen]
        assert numbers == sorted(set(numbers))
        ends: dict[str, list[str]] = defaultdict(list)
        for _, job_id, kind in self.seen:
            if kind.removeprefix("job.") in ENDS:
                ends[job_id].append(kind)
        shown = self.accepted - self.forgotten - self.refused
        assert ends == {self.ids[number]: self.ends[number] for number in shown}

    def check_rest(self) -> None:
        self.check_ends()
        assert set(self.ended) == self.accepted - self.forgotten
        for key, user in itertools.product(PLACES, {*USERS.values()}):
            writes = [intent for intent in self.log[key] if USERS[self.principals[intent.number]] == user]
            if not writes:
                continue
            last = writes[-1]
            newer = {each.number for each in writes if each.number > last.number and each.number in self.released}
            own = [number for number in newer if self.principals[number] == self.principals[last.number]]
            assert not own or last.number not in self.released
            assert last.kind != "placeholder", f"a placeholder is left at {key}"
            if last.kind == "failed":
                assert self.ended[last.number] in ("failed", "cancelled")


def with_user(place: ResolvedOutput, user: str) -> ResolvedOutput:
    where = place.placement.destination
    url = where.url.replace("://", f"://{user}@")
    return moved(place, msgspec.structs.replace(where, url=url))


@pytest.mark.parametrize("seed", range(sized(12, 40)))
async def test_at_random(house: House, seed: int) -> None:
    world = World(house, seed)
    world.queue = await house.open(START)
    steps: list[Callable[[], Awaitable[None]]] = [
        world.enqueue, world.place, world.finish_intake, world.take_work, world.write_final, world.settle, world.pay,
        world.let_time_pass, world.crash, world.cancel, world.retry,
    ]  # fmt: skip
    for step in world.random.choices(steps, (6, 8, 8, 8, 8, 7, 6, 3, 1, 2, 2), k=200):
        await step()
    await world.drive_to_rest()
    world.check_rest()
    await world.check_told()
    MET.update(world.happened)


MET: set[str] = set()


def test_what_the_random_runs_met() -> None:
    """A run in which nothing goes wrong proves nothing."""
    assert {"lost claim", "overtaken", "lost", "cut off", "entry done", "refused and owing"} <= MET
    assert {"part of a job", "whole job", "waited for its time"} <= MET
    assert {"cancelled", "partly cancelled", "cancel refused", "retried", "retry refused"} <= MET
    assert {"webhook done", "webhook again", "webhook lost"} <= MET
    assert {"after another's untaken write", "older final after another's write"} <= MET
