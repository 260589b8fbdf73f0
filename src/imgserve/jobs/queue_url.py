"""The URL of a queue on PostgreSQL as a text, in libpq's form
(https://www.postgresql.org/docs/current/libpq-connect.html, Connection URIs). For the settings, and for all that shows
it to people. ``postgres.libpq`` knows the options.
"""

import re

EXAMPLE = "postgresql://USER@HOST/DATABASE"
_SCHEME = re.compile(r"postgres(?:ql)?://")
_USER_INFO = re.compile(r"(?<=://)(?P<user>[^:@/]*)(?::(?P<password>[^@]*))?@")
_SECRETS = re.compile(r"(?:(?<=\?)|&)(?:password|sslpassword)=[^&]*")


def is_postgres(url: str) -> bool:
    return _SCHEME.match(url) is not None


def fault_of(url: str) -> str:
    """Why it cannot be an address, without a piece of it; empty if it can be one."""
    if not is_postgres(url) or not url.isascii() or not url.isprintable() or " " in url:
        return f"expected a URL such as {EXAMPLE}"
    user_info, at, rest = url.partition("://")[2].rpartition("@")
    # Otherwise it is not certain where the password ends, and a part of it would be shown.
    if re.search("[@/?]", user_info) or (at and "@" in rest) or re.search(r"[?&][^=&]*%[^=&]*=", rest):
        return f"expected a URL such as {EXAMPLE}, in user name, password and options with %40 for @ and %2F for /"
    return ""


def shown(url: str) -> str:
    """The URL without its passwords, for people."""
    without = _SECRETS.sub("", _USER_INFO.sub(lambda match: f"{match['user']}@", url))
    return without.replace("?&", "?").removesuffix("?")


def has_password(url: str) -> bool:
    user_info = _USER_INFO.search(url)
    return bool(user_info and user_info["password"]) or _SECRETS.search(url) is not None
