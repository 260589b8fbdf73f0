"""What the nodes of a queue tell each other: hints, which may be lost or come twice. The rows alone decide.

A message is one NOTIFY, as JSON.
"""

import hashlib
from typing import Literal

import msgspec

# PostgreSQL refuses payloads of 8000 bytes.
MOST_BYTES = 7900
# More of them at once wait for the next heartbeat.
MOST_CANCELLED = 200

Topic = Literal["work", "outbox", "freed", "ended", "events", "adoptable"]
TOPICS: frozenset[Topic] = frozenset(("work", "outbox", "freed", "ended", "events", "adoptable"))


class Newer(msgspec.Struct, frozen=True):
    """The write for which an older one to the same destination is to be broken off (``model.Intent``)."""

    number: int
    output_id: int
    token: int
    key: str
    principal: str


class News(msgspec.Struct, omit_defaults=True):
    """``came``: of these topics anything may have come. ``wants``: the sender waits for these for a while.

    ``freed``: marks of destinations; ``ended``: ids of jobs; ``events``: principal and job of each. All three are only
    told to nodes that want them. ``ends``: so many jobs have ended.

    ``cancelled``: numbers of jobs whose claims may be lost. ``newer``: writes that wait for older ones.
    """

    is_new: bool = False
    is_leaving: bool = False
    came: set[Topic] = msgspec.field(default_factory=set)
    wants: set[Topic] = msgspec.field(default_factory=set)
    freed: set[str] = msgspec.field(default_factory=set)
    ended: set[str] = msgspec.field(default_factory=set)
    events: set[tuple[str, str]] = msgspec.field(default_factory=set)
    ends: int = 0
    cancelled: set[int] = msgspec.field(default_factory=set)
    newer: list[Newer] = msgspec.field(default_factory=list)

    def __bool__(self) -> bool:
        return self != News()


def encode(news: News) -> bytes:
    """One that is too long says less, and causes more to be looked at."""
    text = msgspec.json.encode(news)
    if len(text) > MOST_BYTES:
        text = msgspec.json.encode(_shortened(news))
    return text


def decode(text: bytes) -> News:
    """Raises msgspec.DecodeError. Fields of a later version are passed over."""
    return msgspec.json.decode(text, type=News)


def mark(key: str) -> str:
    """A short name of a destination. Two of the same name wake each other's writers, who look again."""
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def _shortened(news: News) -> News:
    lists: dict[Topic, bool] = {"freed": bool(news.freed), "ended": bool(news.ended), "events": bool(news.events)}
    short = News(
        is_new=news.is_new, is_leaving=news.is_leaving, wants=news.wants, ends=news.ends,
        came=news.came.union(topic for topic, is_told in lists.items() if is_told),
        cancelled=set(sorted(news.cancelled)[:MOST_CANCELLED]),
    )  # fmt: skip
    for newer in news.newer:
        if len(msgspec.json.encode(short)) + len(msgspec.json.encode(newer)) < MOST_BYTES:
            short.newer.append(newer)
    return short
