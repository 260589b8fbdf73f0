"""A network in which every address is local: what a hole in the guard lets out arrives here, and nothing gets further.

``test_ssrf`` runs this file in a network and mount namespace of its own (``unshare``). It carries out every case twice,
by a server with its defaults and by one that allows every network, and prints what each case was answered and which
listeners heard of it, as JSON.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config as TransferConfig
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import TransferError
from tests.hostile.ssrf_cases import HOME, MESSAGES, PUBLIC, Case, cases
from tests.hostile.ssrf_peers import PROXY_PORT, Hit, Peers
from tests.support.daemon import Daemon

ROUTES = ("ip link set lo up", "ip route add local default dev lo", "ip -6 route add local ::/0 dev lo")
PROXY = f"http://127.0.0.1:{PROXY_PORT}"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ftp_proxy", "all_proxy", "ALL_PROXY"), PROXY)
ARRIVES_S = 5.0


class Outcome(msgspec.Struct):
    """``code``: 0 when the job was accepted. ``hits``: listeners that were reached while the case ran."""

    code: int
    hits: list[Hit]


class Report(msgspec.Struct):
    """By case: what the closed server and the open one made of it. ``total``: all that the closed one reached.

    ``messages``: by URL, the code of a webhook's message there, and what it reached where every address is open.
    """

    closed: dict[str, Outcome]
    opened: dict[str, Outcome]
    total: list[Hit]
    proxy_without_guard: list[Hit]
    messages: dict[str, str]
    messages_opened: dict[str, list[Hit]]


def main() -> None:
    for command in ROUTES:
        subprocess.run(command.split(), check=True)
    with tempfile.TemporaryDirectory() as directory, Peers() as peers:
        top = Path(directory)
        (top / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--bind", top / "resolv.conf", "/etc/resolv.conf"], check=True)
        # Every address is this machine's own here: the one that wishes us ill stands for a stranger's.
        with Daemon(top / "closed", "--allow-network", PUBLIC, environment=PROXIES) as server:
            closed = {case.name: _tried(server, peers, case, f"c{n}") for n, case in enumerate(cases())}
            server.stop()
            messages = asyncio.run(_told(peers, TransferConfig(allow_networks=(PUBLIC,))))
            total = list(peers.hits)
        everything = ("--allow-network", "0.0.0.0/0", "--allow-network", "::/0")
        with Daemon(top / "open", *everything, environment=PROXIES, switches={"ports": "1-65535"}) as server:
            wanted = [case for case in cases() if case.lands]
            opened = {case.name: _tried(server, peers, case, f"o{n}", ARRIVES_S) for n, case in enumerate(wanted)}
        anywhere = TransferConfig(allow_networks=("0.0.0.0/0", "::/0"), ports=("1-65535",))
        reached = asyncio.run(_told(peers, anywhere))
        report = Report(
            closed, opened, total, _through_proxy(peers), {url: code for url, (code, _) in messages.items()},
            {url: hits for url, (_, hits) in reached.items()},
        )  # fmt: skip
    sys.stdout.buffer.write(msgspec.json.encode(report))


def _tried(server: Daemon, peers: Peers, case: Case, serial: str, patience_s: float = 0.0) -> Outcome:
    before = len(peers.hits)
    own = urlsplit(server.url).netloc
    job = msgspec.json.encode(case.job).decode()
    for word, value in {
        "OWN_PORT": own.rpartition(":")[2],
        "OWN": own,
        "SERIAL": serial,
        "x.png": f"{serial}.png",
    }.items():
        job = job.replace(word, value)

    def found() -> list[Hit]:
        return [hit for hit in peers.hits[before:] if hit.name in ("", f"{serial}.png")]

    reply = server.post(job.encode())
    ends_at = time.monotonic() + patience_s
    while time.monotonic() < ends_at and case.lands not in [hit.address for hit in found()]:
        time.sleep(0.005)
    code = reply.body.get("code", 0)
    assert isinstance(code, int), reply
    return Outcome(code, found())


async def _told(peers: Peers, config: TransferConfig) -> dict[str, tuple[str, list[Hit]]]:
    """By URL: the code of a message there, empty where it was taken, and the listeners that were reached."""
    transfers = Transfers(config, Limits())
    outcomes = {}
    for url in MESSAGES:
        before, code = len(peers.hits), ""
        try:
            await transfers.post(url, (), (), b"{}", 2.0)
        except TransferError as error:
            code = error.code
        outcomes[url] = (code, peers.hits[before:])
    await transfers.aclose()
    return outcomes


def _through_proxy(peers: Peers) -> list[Hit]:
    """What libcurl does by itself with such an environment: the twin of every request that went directly."""
    before = len(peers.hits)
    program = f"import pycurl; c = pycurl.Curl(); c.setopt(c.URL, {HOME + '/Ex.png'!r}); c.perform()"
    subprocess.run([sys.executable, "-c", program], env=PROXIES, capture_output=True, timeout=20, check=False)
    return peers.hits[before:]


if __name__ == "__main__":
    main()
