"""No job reaches what the guard forbids: each hostile URL, as source and as destination, and its allowed twin.

All of it happens in one run of ``ssrf_arena``, in namespaces of its own. That a pooled connection is judged again is
held by ``tests/contract/transfer/test_guard.py``.
"""

import os
import shutil
import subprocess
import sys

import msgspec
import pytest

from tests.hostile.ssrf_arena import PROXY, Outcome, Report
from tests.hostile.ssrf_cases import MESSAGES, PLACES, Case, cases

NAMESPACES = ["unshare", "--net", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",))]
CASES = tuple(cases())


def _is_possible() -> bool:
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACES, "ip", "link"], capture_output=True, timeout=20, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not _is_possible(), reason="needs ip and the right to make namespaces; as root: apt-get install iproute2"
)


@pytest.fixture(scope="module")
def report() -> Report:
    run = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.hostile.ssrf_arena"], capture_output=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr.decode()[-8000:]
    return msgspec.json.decode(run.stdout, type=Report)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused(report: Report, case: Case) -> None:
    assert report.closed[case.name] == Outcome(case.code or 0, [])


@pytest.mark.parametrize("case", [case for case in CASES if case.lands], ids=lambda case: case.name)
def test_its_twin_arrives(report: Report, case: Case) -> None:
    found = report.opened[case.name]
    assert found.code not in (104, 105, 115, 116)
    assert case.lands in [hit.address for hit in found.hits]


def test_no_message_to_a_webhook_arrives(report: Report) -> None:
    """By text or when it connects; a redirect is an answer as any other. Each twin arrives, where there is one."""
    assert report.messages == {url: "webhook_failed" if "/redirect/" in url else "webhook_refused" for url in MESSAGES}
    missed = {
        url: hits for url, hits in report.messages_opened.items()
        if MESSAGES[url] and MESSAGES[url] not in [hit.address for hit in hits]
    }  # fmt: skip
    assert missed == {}


def test_nobody_heard_of_anything(report: Report) -> None:
    """Also what came late, and the proxy that the environment names."""
    assert report.total == []


def test_libcurl_by_itself_would_have_used_the_proxy(report: Report) -> None:
    assert [f"http://{hit.address}:{hit.port}" for hit in report.proxy_without_guard] == [PROXY]


def test_there_are_enough_of_them() -> None:
    assert len(PLACES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
