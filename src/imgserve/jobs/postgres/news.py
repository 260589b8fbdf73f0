"""What the nodes of a queue tell each other: hints, which may be lost or come twice. The rows alone decide.

A message is one NOTIFY, as JSON.
"""

import hashlib
from typing import Literal

import msgspec

from imgserve.jobs.purge import Purge

# PostgreSQL refuses payloads of 8000 bytes.
MOST_BYTES = 7900
# Of these; all else that cannot be left out has room beside them.
MOST_BYTES_PURGED = 4000
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

    ``hears_purges``: the sender has a cache, and wants ``purged`` for a while. ``has_untold_purges``: some went before
    it was known to want them. No topics, since an older version reads no message with a topic that it does not know.
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
    purged: list[Purge] = msgspec.field(default_factory=list)
    hears_purges: bool = False
    has_untold_purges: bool = False

    def __bool__(self) -> bool:
        return self != News()


def divided(news: News) -> tuple[News, News]:
    """The next message, and the purges that have no room in it: none of them is left out."""
    size, count = 0, 0
    for purge in news.purged:
        size += len(msgspec.json.encode(purge)) + 1
        if count and size > MOST_BYTES_PURGED:
            break
        count += 1
    return msgspec.structs.replace(news, purged=news.purged[:count]), News(purged=news.purged[count:])


def short(purge: Purge) -> Purge:
    """One that fits into a message: if it is too long, one that covers more."""
    if len(msgspec.json.encode(purge)) > MOST_BYTES_PURGED:
        purge = msgspec.structs.replace(purge, rendering="")
    while len(msgspec.json.encode(purge)) > MOST_BYTES_PURGED:
        purge = Purge(purge.source[: len(purge.source) // 2], is_prefix=True)
    return purge


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
        cancelled=set(sorted(news.cancelled)[:MOST_CANCELLED]), hears_purges=news.hears_purges,
        has_untold_purges=news.has_untold_purges, purged=news.purged,
    )  # fmt: skip
    for newer in news.newer:
        if len(msgspec.json.encode(short)) + len(msgspec.json.encode(newer)) < MOST_BYTES:
            short.newer.append(newer)
    return short
