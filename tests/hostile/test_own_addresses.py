"""The guard knows this machine's own addresses as they come and go, however public they look.

Addresses are given to a network namespace: this file is run there as a program.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from ipaddress import ip_address

import pytest

from imgserve.transfer.guard import Guard, parse_network
from imgserve.transfer.own_addresses import is_own

NAMESPACE = ["unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
# Each line: how the address comes to the machine. The second address of a network is a secondary one; a load balancer
# hands on addresses by routes.
COMINGS = {
    "93.184.216.35": "ip address add 93.184.216.35/24 dev v0",
    "93.184.216.36": "ip address add 93.184.216.36/24 dev v0",
    "8.8.4.4": "ip route add local 8.8.4.4 dev v0",
    "2606:2800::35": "ip -6 address add 2606:2800::35/64 dev v0 nodad",
}


def _is_possible() -> bool:
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "ip", "link"], capture_output=True, timeout=20, check=False).returncode == 0


def _run(command: str) -> None:
    subprocess.run(shlex.split(command), check=True)


def _wait_until_there(text: str) -> None:
    """The kernel adds the route of an IPv6 address in a work queue of its own, after ip(8) has ended."""
    for _ in range(400):
        told = subprocess.run(["ip", "route", "get", text], capture_output=True, timeout=20, check=False)
        if told.stdout.startswith(b"local "):
            return
        time.sleep(0.05)
    raise AssertionError(f"{text} has not come")


def main() -> None:
    """Per address: is it ours before it comes, after, and when it is gone; and whether naming it opens it."""
    for command in ("ip link add v0 type veth peer name v1", "ip link set v0 up", "ip link set v1 up"):
        _run(command)
    seen = {}
    for number, (text, coming) in enumerate(COMINGS.items()):
        address, first = ip_address(text), number * 30
        before = is_own(address, lambda at=first: at)  # type: ignore[misc]
        _run(coming)
        _wait_until_there(text)
        after = is_own(address, lambda at=first + 10: at)  # type: ignore[misc]
        refusal = Guard().refusal(text, 443)
        opened = Guard((parse_network(text),)).refusal(text, 443)
        _run(coming.replace(" add ", " del "))
        gone = is_own(address, lambda at=first + 20: at)  # type: ignore[misc]
        _run(coming)
        seen[text] = [before, after, gone, refusal.hint if refusal else "", opened is None]
    sys.stdout.write(json.dumps(seen))


@pytest.mark.skipif(not _is_possible(), reason="needs ip and the right to make namespaces")
def test_own_addresses_are_known_as_they_come_and_go() -> None:
    command = [*NAMESPACE, sys.executable, "-m", "tests.hostile.test_own_addresses"]
    run = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
    assert json.loads(run.stdout) == {
        text: [False, True, False, f"--allow-network {text} opens it", True] for text in COMINGS
    }


if __name__ == "__main__":
    main()
