"""Messages of nodes: what has no room in one is said with fewer words."""

import pytest

from imgserve.jobs.postgres.news import MOST_BYTES, Newer, News, decode, divided, encode, mark, short
from imgserve.jobs.purge import Purge


@pytest.mark.parametrize(
    "news",
    [
        News(),
        News(is_new=True, came={"work"}, wants={"events", "freed"}, ends=3),
        News(freed={mark("http://place.test:80/ä.png")}, ended={"a"}, events={("ann", "a"), ("bob", "b")}),
        News(cancelled={1, 2}, newer=[Newer(1, 2, 3, "http://place.test:80/ä.png", "ann")]),
    ],
)
def test_news_come_as_they_were_sent(news: News) -> None:
    assert decode(encode(news)) == news


def test_a_list_that_is_too_long_becomes_the_hint_that_anything_may_have_come() -> None:
    ids = {f"{number:032x}" for number in range(400)}
    sent = encode(News(ended=ids, freed={"one"}, came={"work"}, cancelled={7}))
    assert len(sent) <= MOST_BYTES
    assert decode(sent) == News(came={"work", "ended", "freed"}, cancelled={7})


def test_keys_that_have_no_room_wait_for_the_next_message() -> None:
    short, long = (Newer(1, 2, 3, "x" * length, "ann") for length in (100, 7000))
    sent = encode(News(newer=[short, long, long]))
    assert len(sent) <= MOST_BYTES
    assert decode(sent).newer == [short, long]


def test_a_message_of_a_later_version_is_read() -> None:
    assert decode(b'{"came":["work"],"later":1}') == News(came={"work"})


def test_purges_that_have_no_room_are_the_next_message() -> None:
    purges = [Purge(f"http://place.test/{number}/" + "x" * 1000) for number in range(9)]
    rest, told, messages = News(is_new=True, purged=purges), [], 0
    while rest:
        first, rest = divided(rest)
        assert first.is_new == (messages == 0)
        assert len(encode(first)) <= MOST_BYTES
        assert decode(encode(first)) == first
        told += first.purged
        messages += 1
    assert told == purges
    assert messages == 3


@pytest.mark.parametrize("letter", ["x", "ä", "\\"])
def test_a_purge_that_is_too_long_covers_more(letter: str) -> None:
    source = "http://place.test/" + letter * 3000
    assert short(Purge(source[:300], "{}")) == Purge(source[:300], "{}")
    assert short(Purge(source[:300], letter * 5000)) == Purge(source[:300])
    purge = short(Purge(source + letter * 3000))
    assert purge.is_prefix
    assert source.startswith(purge.source)
    assert len(purge.source) > 1000
