"""The keyed limiter beside a simple model: limits, order, nothing that starves and nothing that leaks."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.limiter import Key, Limiter

TOTAL = 3
PRINCIPALS, HOSTS = (Key("p", 2), Key("q", 3)), (Key("h", 1), Key("i", 2))
A, B = Key("a", 1), Key("b", 1)


class Asking:
    """One request as a task that holds what it is granted until ``done`` is set."""

    def __init__(self, limiter: Limiter, keys: tuple[Key, ...] = (), weight: int = 1) -> None:
        self.keys, self.weight = keys, weight
        self.done = asyncio.Event()
        self.is_granted = False
        self.task = asyncio.create_task(self._hold(limiter))

    async def _hold(self, limiter: Limiter) -> None:
        await limiter.acquire(*self.keys, weight=self.weight)
        self.is_granted = True
        try:
            await self.done.wait()
        finally:
            self.is_granted = False
            limiter.release(*self.keys, weight=self.weight)


class Model:
    """The order of the limiter's docstring over plain lists: of all that wait, what may go next goes."""

    def __init__(self, total: int, ranked: int = 1) -> None:
        self._total = total
        self._ranked = ranked
        self._grants: Counter[str] = Counter()
        self._number = 0
        self.waiting: list[Asking] = []
        self.holding: list[Asking] = []

    def holders(self, name: str) -> int:
        return sum(key.name == name for one in self.holding for key in one.keys)

    def admit(self) -> None:
        while ready := [one for one in self.waiting if all(self.holders(n) < most for n, most in one.keys)]:
            first = min(ready, key=self._rank)
            if first.weight + sum(one.weight for one in self.holding) > self._total:
                return
            self._number += 1
            for name in self._names(first):
                self._grants[name] = self._number
            self.waiting.remove(first)
            self.holding.append(first)

    def _rank(self, one: Asking) -> tuple[int, ...]:
        counts = ((self.holders(name), self._grants[name]) for name in self._names(one))
        return *itertools.chain(*counts), self.waiting.index(one)

    def _names(self, one: Asking) -> list[str]:
        return [key.name for key in (*one.keys, Key("", 1), Key("", 1))][: self._ranked]


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def check_limits(limiter: Limiter, all_asking: Iterable[Asking]) -> None:
    holding = [one for one in all_asking if one.is_granted]
    assert sum(one.weight for one in holding) <= limiter.total
    held = Counter(key for one in holding for key in one.keys)
    assert all(count <= key.limit for key, count in held.items())


def check_empty(limiter: Limiter) -> None:
    assert (limiter.held, limiter.waiting) == (0, 0)
    assert limiter.is_free(weight=limiter.total)
    assert [
        value
        for name, value in vars(limiter).items()
        if value and name in ("_holders", "_waiting", "_groups", "_lines")
    ] == []


WANTED = st.one_of(
    st.tuples(st.sampled_from(PRINCIPALS), st.sampled_from(HOSTS)),
    st.tuples(st.sampled_from(PRINCIPALS)),
    st.tuples(st.sampled_from(PRINCIPALS), *map(st.just, HOSTS)),
    st.just(()),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), WANTED, st.integers(1, TOTAL)),
        st.tuples(st.sampled_from(("cancel", "release")), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from((1, 2)))
def test_each_step_grants_what_the_model_grants(steps: list[tuple[str, object, int]], ranked: int) -> None:
    async def walk() -> None:
        limiter, model = Limiter(TOTAL, ranked), Model(TOTAL, ranked)
        everyone: list[Asking] = []
        for what, of, weight in steps:
            if what == "ask":
                assert isinstance(of, tuple)
                everyone.append(Asking(limiter, of, weight))
                model.waiting.append(everyone[-1])
            elif whom := model.holding if what == "release" else model.waiting:
                assert isinstance(of, int)
                one = whom.pop(of % len(whom))
                if what == "release":
                    one.done.set()
                else:
                    one.task.cancel()
            model.admit()
            await settled()
            assert [one for one in everyone if one.is_granted] == [one for one in everyone if one in model.holding]
            assert limiter.waiting == len(model.waiting)
            check_limits(limiter, everyone)
        await let_all_go(limiter, everyone)

    asyncio.run(walk())


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_comes_together_breaks_no_limit_and_leaks_nothing(seed: int) -> None:
    """Steps in the same turn of the loop, so that some are cancelled in the moment in which they are granted."""
    random_steps = random.Random(seed)
    limiter = Limiter(TOTAL)
    everyone: list[Asking] = []
    for _ in range(400):
        everyone = [one for one in everyone if not one.task.done()]
        for _ in range(random_steps.randrange(5)):
            keys = random_steps.sample((*PRINCIPALS, *HOSTS), random_steps.randrange(3))
            everyone.append(Asking(limiter, tuple(keys), random_steps.randint(1, TOTAL)))
        for one in random_steps.sample(everyone, len(everyone) // 3):
            if random_steps.random() < 0.5:
                one.done.set()
            else:
                one.task.cancel()
        for _ in range(random_steps.randrange(3)):
            await asyncio.sleep(0)
            check_limits(limiter, everyone)
    await let_all_go(limiter, everyone)


async def let_all_go(limiter: Limiter, everyone: list[Asking]) -> None:
    """Holders end one after the other: each that waits has its turn."""
    for one in everyone:
        one.done.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*(one.task for one in everyone), return_exceptions=True)
    check_empty(limiter)


class Scene:
    """``come`` and ``go`` by name; ``order`` is the order in which they were granted."""

    def __init__(self, total: int = 100, ranked: int = 1) -> None:
        self.limiter = Limiter(total, ranked)
        self.order: list[str] = []
        self._all: dict[str, Asking] = {}

    async def come(self, name: str, *keys: Key, weight: int = 1) -> None:
        self._all[name] = Asking(self.limiter, keys, weight)
        await self._look()

    async def go(self, *names: str) -> None:
        for name in names:
            self._all[name].done.set()
        await self._look()

    async def give_up(self, name: str) -> None:
        self._all[name].task.cancel()
        await self._look()

    async def _look(self) -> None:
        await settled()
        self.order += [name for name, one in self._all.items() if one.is_granted and name not in self.order]


async def test_who_waits_for_one_thing_holds_no_other() -> None:
    scene = Scene()
    await scene.come("holds b", B)
    await scene.come("waits for b", A, B)
    await scene.come("wants a", A)
    assert scene.order == ["holds b", "wants a"]
    await scene.go("holds b")
    assert "waits for b" not in scene.order, "now it waits for a"
    await scene.come("has b meanwhile", B)
    await scene.go("has b meanwhile")
    await scene.go("wants a")
    assert scene.order[-1] == "waits for b"


async def test_of_one_key_first_come_first_served() -> None:
    scene = Scene()
    for name in ("1", "2", "3", "4"):
        await scene.come(name, Key("a", 2), Key("b", 9))
    assert scene.order == ["1", "2"]
    await scene.go("2")
    await scene.go("1")
    assert scene.order == ["1", "2", "3", "4"]


async def test_one_that_goes_lets_all_go_on_that_have_room() -> None:
    scene = Scene()
    await scene.come("holds all", A, B)
    await scene.come("a", A)
    await scene.come("b", B)
    await scene.go("holds all")
    assert scene.order == ["holds all", "a", "b"]


async def test_one_that_waits_for_another_key_does_not_end_the_line() -> None:
    scene = Scene()
    await scene.come("holds a", A)
    await scene.come("holds b", B)
    await scene.come("wants both", A, B)
    await scene.come("wants a", A)
    await scene.go("holds a")
    assert scene.order[-1] == "wants a"


async def test_a_full_key_holds_up_no_other() -> None:
    scene = Scene(3)
    for name in ("1", "2", "3"):
        await scene.come(name, A)
    await scene.come("other", B)
    assert scene.order == ["1", "other"]


async def test_the_key_with_the_fewest_holders_is_next_then_the_one_served_longest_ago() -> None:
    a, b, c = (Key(name, 9) for name in "abc")
    scene = Scene(2)
    for name, key in (("a1", a), ("b1", b), ("a2", a), ("a3", a), ("b2", b), ("c1", c)):
        await scene.come(name, key)
    await scene.go("b1")
    assert scene.order[2:] == ["c1"], "a holds one, and b was served"
    await scene.go("c1")
    assert scene.order[3:] == ["b2"]
    await scene.go("a1", "b2")
    assert scene.order[4:] == ["a2", "a3"]


async def test_a_second_ranked_key_decides_between_equals_of_the_first() -> None:
    jobs, renders, a, b = (Key(name, 9) for name in ("jobs", "renders", "a", "b"))
    scene = Scene(2, ranked=2)
    for name, *keys in (("j1", jobs, a), ("j2", jobs, a), ("j3", jobs, a), ("j4", jobs, b), ("r1", renders, a)):
        await scene.come(name, *keys)
    await scene.go("j1")
    assert scene.order[2:] == ["r1"], "jobs hold one, though b waits longer and holds none"
    await scene.come("r2", renders, a)
    await scene.go("j2")
    assert scene.order[3:] == ["j4"], "renders hold one, and of the jobs b's principal holds none"
    await scene.go("r1")
    await scene.go("j4")
    assert scene.order[4:] == ["r2", "j3"]


async def test_requests_without_keys_wait_no_longer_than_those_of_a_key_served_in_the_same_turn() -> None:
    """One grant is one turn for all its ranked keys."""
    scene = Scene(3, ranked=2)
    await scene.come("holds", Key("p", 2))
    await scene.come("without", weight=3)
    await scene.come("of p", Key("p", 2))
    await scene.go("holds")
    assert scene.order == ["holds", "without"]


async def test_a_small_one_does_not_overtake_a_large_one() -> None:
    scene = Scene(10)
    await scene.come("holds 8", weight=8)
    await scene.come("large", weight=9)
    await scene.come("small", weight=1)
    assert scene.order == ["holds 8"]
    await scene.give_up("large")
    assert scene.order == ["holds 8", "small"], "it was held up by the large one alone"


async def test_a_small_one_does_not_overtake_a_large_one_whose_key_became_free() -> None:
    scene = Scene(10)
    await scene.come("holds a", A)
    await scene.come("holds 8", weight=8)
    await scene.come("large", A, weight=9)
    await scene.go("holds a")
    await scene.come("small", weight=1)
    assert scene.order == ["holds a", "holds 8"]


async def test_of_a_first_key_the_oldest_is_next_whatever_its_other_keys_are() -> None:
    scene = Scene(1)
    for name, other in (("holds", "x"), ("1", "y"), ("2", "z"), ("3", "y"), ("4", "z")):
        await scene.come(name, Key("a", 9), Key(other, 9))
    for name in ("holds", "1", "2", "3"):
        await scene.go(name)
    assert scene.order == ["holds", "1", "2", "3", "4"]


async def test_one_that_gives_up_is_passed_over() -> None:
    scene = Scene()
    for name in ("holds", "gives up", "next"):
        await scene.come(name, A)
    await scene.give_up("gives up")
    await scene.go("holds")
    assert scene.order == ["holds", "next"]


async def test_a_key_may_be_given_back_before_the_rest() -> None:
    limiter = Limiter(2)
    await limiter.acquire(A, B)
    waits = asyncio.create_task(limiter.acquire(B))
    await settled()
    assert not waits.done()
    limiter.release(B, weight=0)
    await settled()
    assert waits.done()
    assert limiter.held == 2
    limiter.release(A)
    limiter.release(B)
    check_empty(limiter)


async def test_few_of_the_keys_that_came_and_went_are_remembered() -> None:
    limiter = Limiter(1)
    for number in range(5000):
        await limiter.acquire(Key(str(number), 1))
        limiter.release(Key(str(number), 1))
    check_empty(limiter)
    assert len(vars(limiter)["_served"]) <= 1024


class Counted(str):
    """A name that counts how often it is looked up."""

    __slots__ = ()
    look_ups = 0

    def __hash__(self) -> int:
        Counted.look_ups += 1
        return super().__hash__()


async def test_a_grant_does_not_look_at_all_hosts_that_are_waited_for() -> None:
    """Nor a request, nor one that is given up: of the waiting requests of one key each has another third one."""
    limiter = Limiter(1, 2)
    keys = [(A._replace(limit=9), B._replace(limit=9), Key(Counted(number), 1)) for number in range(2000)]
    grants = [limiter.request(*each) for each in keys]
    grants[1].cancel()
    await settled()
    Counted.look_ups = 0
    for each in (0, *range(2, 50)):
        assert grants[each].done()
        limiter.release(*keys[each])
    assert Counted.look_ups < 50 * 20
    for grant in grants[51:]:
        grant.cancel()
    await settled()
    limiter.release(*keys[50])
    check_empty(limiter)
