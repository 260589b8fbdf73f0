"""The one map from HTTP's statuses to remedies. Called by ``errors`` and ``protocols/http``."""

LOG = "look at that server's log"
LOGIN = "check user name and password in the URL; special characters in them are written %XX"
_REMEDIES = {
    401: f"name a credential that it takes, or {LOGIN}",
    403: "give the login, or this machine's address, the right to it",
    404: "check the path of the URL",
    405: "check that this URL takes such a request",
    407: "check user name and password in the setting proxy",
    409: "make the directory above it first",
    410: "check the path of the URL",
    411: LOG,
    413: "raise the largest body that it takes",
    429: "it asks for fewer requests: lower max_transfers_per_host",
    507: "free disk space there",
}
_TRANSIENT = frozenset({408, 425, 429})


def is_transient(status: int) -> bool:
    return status >= 500 or status in _TRANSIENT


def remedy(status: int, *, is_write: bool = False) -> str:
    if status == 403 and not is_write:
        return f"{_REMEDIES[status]}; if it wants a Referer, the setting referer gives it one"
    if 300 <= status < 400:
        return "use the URL that it redirects to" if is_write else "use the picture's own URL"
    return _REMEDIES.get(status, LOG if status >= 400 else "")
