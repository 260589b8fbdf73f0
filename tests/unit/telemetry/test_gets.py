"""The plain numbers of GETs, as a scrape shows them: what prometheus_client's own counters would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from imgserve.telemetry import gets, metrics


def samples(text: bytes, name: str, dialect: str) -> list[str]:
    return sorted(
        line for line in text.decode().splitlines() if line.startswith(name) and f'dialect="{dialect}"' in line
    )


SECONDS = st.floats(0, 100) | st.sampled_from(gets.SECONDS)


@given(st.lists(st.tuples(SECONDS, st.integers(0, 10**6), st.sampled_from([200, 304]))))
def test_a_scrape_shows_what_the_librarys_counters_would(answers: list[tuple[float, int, int]]) -> None:
    registry = CollectorRegistry()
    count = Counter("imgserve_gets_total", "", ["dialect", "status", "state"], registry=registry)
    size = Counter("imgserve_get_bytes_total", "", ["dialect"], registry=registry)
    names = ["dialect", "state"]
    seconds = Histogram("imgserve_get_seconds", "", names, buckets=gets.SECONDS, registry=registry)
    gets.answers.clear()
    for duration, size_bytes, status in answers:
        gets.answered("a", status, "hit", duration, size_bytes)
        count.labels("a", status, "hit").inc()
        size.labels("a").inc(size_bytes)
        seconds.labels("a", "hit").observe(duration)
    own, expected = metrics.text(), generate_latest(registry)
    for name in ("imgserve_gets_total", "imgserve_get_bytes_total", "imgserve_get_seconds_bucket"):
        assert samples(own, name, "a") == samples(expected, name, "a")
    assert samples(own, "imgserve_get_seconds_count", "a") == samples(expected, "imgserve_get_seconds_count", "a")


def test_a_stage_that_comes_twice_is_longer() -> None:
    get = gets.begin("b")
    for _ in range(2):
        gets.stage_ended("fetch", 0.25)
    gets.part_from_here()
    gets.stage_ended("fetch", 0.25)
    assert (get.ms("fetch"), get.ms("render")) == (500.0, None)
    assert sum(gets.stages["b", "fetch"].buckets) == 3


def test_work_that_is_for_no_get_is_counted_nowhere() -> None:
    before = {key: tally.seconds for key, tally in gets.stages.items()}
    gets.current.set(None)
    gets.stage_ended("fetch", 1.0)
    gets.joined("fetch")
    assert {key: tally.seconds for key, tally in gets.stages.items()} == before
