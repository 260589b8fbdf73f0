"""Whether libpq reads the URL of a queue. Called by the settings, after ``queue_url.fault_of``."""

from difflib import get_close_matches

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo


def fault_of(url: str) -> str:
    """Why it does not, without a secret; empty if it does."""
    return _unknown_option(url.partition("?")[2]) or _unreadable(url)


def _unknown_option(query: str) -> str:
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"ssl"}
    for option in filter(None, query.split("&")):
        name, equals, _ = option.partition("=")
        if not equals:
            return "expected options as NAME=VALUE after the question mark"
        if name not in known:
            close = get_close_matches(name, known, n=1)
            return f"libpq has no option {name!r}" + (f" (did you mean {close[0]}?)" if close else "")
    return ""


def _unreadable(url: str) -> str:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose text may have a piece of the password
        return "expected a URL that libpq can read, with two hexadecimal digits after each %"
    return ""
