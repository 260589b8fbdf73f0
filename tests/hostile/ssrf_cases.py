"""Jobs that try to reach what they must not, and where each one would arrive. For ``ssrf_arena`` and ``test_ssrf``."""

from collections.abc import Iterator

import msgspec

PUBLIC = "93.184.216.34"  # a public address; in the arena it belongs to a peer that wishes us ill
PICTURE_PORT, FTP_PORT, CLOSED_PORT = 8080, 2121, 25
HOME = f"http://{PUBLIC}:{PICTURE_PORT}"
REFUSED_SOURCE, REFUSED_DESTINATION, NO_SOURCE, NO_DESTINATION = 115, 116, 104, 105
BOX = {"width": 20, "height": 15}


class Case(msgspec.Struct, frozen=True):
    """A job, the code that refuses it (None: it is accepted), and ``lands``: the address at which its twin arrives.

    ``lands`` is empty where a kernel connects nowhere, or where not even ``--allow-network`` lets the URL through. The
    arena gives each case an ``x.png`` of its own name, by which a listener knows it again.
    """

    name: str
    source: str
    destination: str
    args: dict[str, str | int]
    code: int | None
    lands: str = ""

    @property
    def job(self) -> dict[str, object]:
        kind = {"srcURL": self.source, "dstURL": self.destination, "args": {**BOX, **self.args}}
        return {"operationType": "resize", "placeholder": "solid", **kind}


# What stands between http:// and the path, and where that is.
PLACES = {
    "127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "127.0.1": "127.0.0.1", "127.255.255.254": "127.255.255.254",
    "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "017700000001": "127.0.0.1", "0x7f.1": "127.0.0.1",
    "0x7f.0x0.0x0.0x1": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "0177.0.0x1": "127.0.0.1", "127.0.0.1.": "127.0.0.1",
    "127.000.000.001": "127.0.0.1", "%31%32%37.0.0.1": "127.0.0.1", "127%2E0%2E0%2E1": "127.0.0.1",
    "0": "127.0.0.1", "0.0.0.0": "127.0.0.1", "0.1.2.3": "0.1.2.3",
    "localhost": "", "LocalHost.": "", "a.localhost": "",
    "user:pw@127.0.0.1": "127.0.0.1", "example.com@127.0.0.1": "127.0.0.1", "example.com:80@127.0.0.1": "127.0.0.1",
    "example.com%23@127.0.0.1": "127.0.0.1", "127.0.0.1:80": "127.0.0.1", "127.0.0.1:6379": "127.0.0.1",
    "10.0.0.1": "10.0.0.1", "172.16.0.1": "172.16.0.1", "192.168.1.1": "192.168.1.1", "100.64.0.1": "100.64.0.1",
    "100.127.255.255": "100.127.255.255", "169.254.1.1": "169.254.1.1", "169.254.169.254": "169.254.169.254",
    "2852039166": "169.254.169.254", "0xa9fea9fe": "169.254.169.254", "0251.0376.0251.0376": "169.254.169.254",
    "169.254.170.2": "169.254.170.2", "168.63.129.16": "168.63.129.16", "100.100.100.200": "100.100.100.200",
    "192.0.0.192": "192.0.0.192", "198.18.0.1": "198.18.0.1", "203.0.113.1": "203.0.113.1", "240.0.0.1": "240.0.0.1",
    "224.0.0.1": "", "255.255.255.255": "", "[ff02::1]": "", "[fe80::1]": "",
    "[::]": "::1", "[::1]": "::1", "[0:0:0:0:0:0:0:1]": "::1", "[::127.0.0.1]": "::127.0.0.1",
    "[::ffff:127.0.0.1]": "127.0.0.1", "[::ffff:7f00:1]": "127.0.0.1", "[::ffff:a9fe:a9fe]": "169.254.169.254",
    "[0:0:0:0:0:ffff:10.0.0.1]": "10.0.0.1", "[::ffff:0:127.0.0.1]": "::ffff:0:7f00:1",
    "[2002:7f00:1::]": "2002:7f00:1::", "[2002:a00:1::1]": "2002:a00:1::1", "[2002:a9fe:a9fe::]": "2002:a9fe:a9fe::",
    "[2001:0:7f00:1::]": "2001:0:7f00:1::", "[2001:0:808:808:0:0:80ff:fffe]": "2001:0:808:808::80ff:fffe",
    "[64:ff9b::127.0.0.1]": "64:ff9b::7f00:1", "[64:ff9b::a9fe:a9fe]": "64:ff9b::a9fe:a9fe",
    "[64:ff9b:1::10.0.0.1]": "64:ff9b:1::a00:1",
    # RFC 6052 has four places for the IPv4 address under a prefix of 48 bits or more: here it is 127.0.0.1 at bit 48.
    "[64:ff9b:1:7f00:0:100:808:808]": "64:ff9b:1:7f00:0:100:808:808",
    "[2606:4700::5efe:10.0.0.1]": "2606:4700::5efe:a00:1", "[2606:4700::200:5efe:7f00:1]": "2606:4700::200:5efe:7f00:1",
    "[fe80::1%25lo]": "fe80::1", "[fc00::1]": "fc00::1", "[fd00:ec2::254]": "fd00:ec2::254", "[fec0::1]": "fec0::1",
    "[100::1]": "100::1", "[2001:db8::1]": "2001:db8::1", "[3fff::1]": "3fff::1", "[5f00::1]": "5f00::1",
    # Public by their numbers, but this machine's own.
    "93.184.216.35": "93.184.216.35", "[::ffff:93.184.216.35]": "93.184.216.35", "0x5db8d823": "93.184.216.35",
    "[2606:2800:220:1::35]": "2606:2800:220:1::35",
    # Names: the server asks the arena's DNS server, which lies.
    "private.test": "10.0.0.7", "metadata.test": "169.254.169.254", "mapped.test": "127.0.0.1", "six.test": "fd12::7",
    "alias.test": "10.0.0.7", "nat64.test": "64:ff9b::7f00:1",
}  # fmt: skip

# Not even URLs: no setting lets them through.
NO_URLS = (
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
    "127.0.0.1 example.com", "127.0.0.1%00.example.com", "127.0.0.1\t", "[::1", "127.0.0.1:80:80", "/127.0.0.1",
    "%0d%0aHost:127.0.0.1",
)  # fmt: skip

# Other schemes and closed ports, whole.
OTHERS = {
    "ftp://127.0.0.1/x.png": "127.0.0.1", "ftp://[::ffff:10.0.0.1]/x.png": "10.0.0.1",
    "https://127.0.0.1/x.png": "127.0.0.1",
    "ftps://127.0.0.1/x.png": "127.0.0.1", "ftpes://127.0.0.1/x.png": "127.0.0.1",
    "https://metadata.test/x.png": "169.254.169.254", "ftp://private.test/x.png": "10.0.0.7",
    f"http://{PUBLIC}:{CLOSED_PORT}/x.png": PUBLIC, f"ftp://{PUBLIC}:{CLOSED_PORT}/x.png": PUBLIC,
    "http://OWN/x.png": "", "http://localhost:OWN_PORT/health": "",
}  # fmt: skip

REDIRECT_TARGETS = {
    "http://127.0.0.1/x.png": "127.0.0.1", "//169.254.169.254/x.png": "169.254.169.254", "http://[::1]/x.png": "::1",
    "http://2130706433/x.png": "127.0.0.1", "https://10.0.0.1/x.png": "10.0.0.1",
    "http://private.test/x.png": "10.0.0.7",
    f"http://{PUBLIC}:{CLOSED_PORT}/x.png": PUBLIC,
}  # fmt: skip
OTHER_SCHEMES = (
    "ftp://127.0.0.1/x.png", "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "dict://127.0.0.1:6379/info",
    "ldap://127.0.0.1/", "sftp://127.0.0.1/x.png",
)  # fmt: skip
TARGETS = (*REDIRECT_TARGETS, *OTHER_SCHEMES)
FIVE = (301, 302, 303, 307, 308)


# Where messages to webhooks must not arrive, and where those of a server without rules do.
MESSAGES = {
    **{f"http://{place}/hook": lands for place, lands in PLACES.items()},
    **{f"{HOME}/redirect/{status}/0/hook": "" for status in FIVE},
    f"http://{PUBLIC}:{CLOSED_PORT}/hook": PUBLIC,
}


def cases() -> Iterator[Case]:
    for place, lands in PLACES.items():
        yield from _both(f"http://{place}/x.png", lands)
    for place in NO_URLS:
        yield Case(f"source http://{place!a}", f"http://{place}/x.png", f"{HOME}/out.png", {"method": "PUT"}, NO_SOURCE)
        url = f"http://{place}/x.png"
        yield Case(f"put http://{place!a}", f"{HOME}/Ex.png", url, {"method": "PUT"}, NO_DESTINATION)
    for url, lands in OTHERS.items():
        yield from _both(url, lands)
    yield from _redirects()
    yield from _forms()
    yield from _bounces()
    # The first look-up of a name is public, the second (for another port) is not.
    yield from _both(
        "http://rebind-SERIAL.test/x.png", "10.0.0.9", first=f"http://rebind-SERIAL.test:{PICTURE_PORT}/Ex.png"
    )


def _both(url: str, lands: str, first: str = f"{HOME}/Ex.png") -> Iterator[Case]:
    if first.startswith(HOME):
        yield Case(f"source {url}", url, f"{HOME}/out.png", {"method": "PUT"}, REFUSED_SOURCE, lands)
    yield Case(f"put {url}", first, url, {"method": "PUT"}, REFUSED_DESTINATION, lands)
    if url.startswith("http"):
        yield Case(f"form {url}", first, f"{url}:a.png", {"field_name": "f"}, REFUSED_DESTINATION)


def _redirects() -> Iterator[Case]:
    for number, target in enumerate(TARGETS):
        lands = REDIRECT_TARGETS.get(target, "")
        # A scheme that is not followed has no address to be refused for: the source cannot be retrieved.
        source_code = REFUSED_SOURCE if lands else 201
        page_code = REFUSED_DESTINATION if lands else 205
        for status in FIVE if number == 0 else (302, 308):
            where = f"{HOME}/redirect/{status}/{number}/x.png"
            yield Case(f"source {status} to {target}", where, f"{HOME}/out.png", {"method": "PUT"}, source_code, lands)
            put_code, put_lands = (page_code, lands) if status in (307, 308) else (205, "")
            yield Case(f"put {status} to {target}", f"{HOME}/Ex.png", where, {"method": "PUT"}, put_code, put_lands)
            form = f"{HOME}/page/{status}/{number}/x.png:a.png"
            yield Case(f"page {status} to {target}", f"{HOME}/Ex.png", form, {"field_name": "f"}, page_code, lands)
    yield Case(
        "source by two hops", f"{HOME}/hop/x.png", f"{HOME}/out.png", {"method": "PUT"}, REFUSED_SOURCE, "127.0.0.1"
    )


def _forms() -> Iterator[Case]:
    for number, target in enumerate(TARGETS):
        lands = REDIRECT_TARGETS.get(target, "")
        code = REFUSED_DESTINATION if lands else 205
        # The form leads there, or answers the post with 307; or with 303, and then what is there is looked at.
        seen = f"{HOME}/seen-other/{number}/x.png:a.png"
        field = {"field_name": "f"}
        yield Case(f"303 after the post of a form to {target}", f"{HOME}/Ex.png", seen, dict(field), None, lands)
        for way in ("action", "base", "post"):
            if way == "base" and not target.startswith("http"):
                continue
            form = f"{HOME}/{way}/{number}/x.png:a.png"
            yield Case(f"{way} of a form to {target}", f"{HOME}/Ex.png", form, {"field_name": "f"}, code, lands)


def _bounces() -> Iterator[Case]:
    """An FTP server names another host or a closed port for its data. libcurl takes no host from it at all."""
    for way in ("pasv-host", "epsv-host", "pasv-port", "epsv-port"):
        lands = PUBLIC if way.endswith("port") else ""
        url = f"ftp://{PUBLIC}:{FTP_PORT}/{way}/x.png"
        code = REFUSED_SOURCE if lands else 201
        yield Case(f"source by {way}", url, f"{HOME}/out.png", {"method": "PUT"}, code, lands)
        code = REFUSED_DESTINATION if lands else 205
        yield Case(f"ftp by {way}", f"{HOME}/Ex.png", url, {}, code, lands)
