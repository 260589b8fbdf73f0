"""Lists of allowed sources of other servers, as prefixes of imgserve. Called by ``imgproxy`` and ``thumbor``."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from imgserve.cli.moving.draft import Draft
from imgserve.request.dialects.sources import problems_of

# Beginning of an expression for URLs, and the host's part.
_URL = re.compile(r"\^?(https\?|https?)\\?:(?:\\?/){2}(.+?)(?:\\?/(?:\.\*)?)?\$?")
_HOST = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::\d+)?")
# What people write for "any host of the domain".
_ANY = re.compile(r"(?:\.\+|\.\*|\(\.[+*]\)\??|\[\^\.\]\+|\[a-z0-9-\]\+|\\w\+)\\?\.")


class Compiled(NamedTuple):
    """An expression that thumbor compares with URLs. Others it compares with hosts."""

    text: str


def is_prefix(text: str) -> bool:
    return not list(problems_of([text], {}, "", ("sources", "", "")))


def of_prefixes(texts: Iterable[str], local_root: str, draft: Draft, name: str) -> list[str]:
    """imgproxy's: beginnings of URLs, with ``*`` for all but a slash. Those that cannot be said here become notes."""
    kept = []
    for text in texts:
        prefix = text
        if text.startswith("local://"):
            prefix = (
                f"file://{local_root.rstrip('/')}/{text.removeprefix('local://').lstrip('/')}" if local_root else ""
            )
        is_domain = re.fullmatch(r"\w+://\*\.[^*]+", prefix) is not None
        if prefix and (is_domain or "*" not in prefix) and is_prefix(prefix):
            kept.append(prefix)
            continue
        draft.note(name, f"{text} cannot be a prefix here: write the hosts or buckets that it stands for into sources")
    return kept


def of_hosts(patterns: Iterable[str | Compiled], scheme: str, draft: Draft, name: str) -> list[str]:
    """thumbor's: expressions for whole host names, and compiled ones for URLs.

    Those that are no host, and no domain, become notes.
    """
    kept = []
    for pattern in patterns:
        prefix = _of_url(pattern, scheme) if isinstance(pattern, Compiled) else scheme + _plain_host(pattern)
        if _HOST.fullmatch(prefix.rpartition("//")[2].removeprefix("*.")) and is_prefix(prefix):
            kept.append(prefix)
            continue
        text = pattern.text if isinstance(pattern, Compiled) else pattern
        draft.note(name, f"{text} is no host and no domain: write those that it stands for into sources")
    return kept


def _of_url(pattern: Compiled, scheme: str) -> str:
    """Empty: it is for more than all URLs of a host."""
    match = _URL.fullmatch(pattern.text)
    if match is None or (scheme == "https://" and match[1] == "http"):
        return ""
    return (scheme if match[1] == "https?" else f"{match[1]}://") + _plain_host(match[2])


def _plain_host(pattern: str) -> str:
    pattern = pattern.removeprefix("^").removesuffix("$")
    host = _ANY.sub("*.", pattern, count=1) if _ANY.match(pattern) else pattern
    return host.replace("\\.", ".").replace("\\-", "-")
