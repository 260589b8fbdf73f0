"""Servers that never stop talking: replies, banners, headers, trailers, interim answers without end.

Each ends by a limit with the code of the peer's fault, for less than a second of CPU and 10 MB.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, DeliveryUnknown, SourceTooLarge, SourceUnavailable
from tests.chaos.gauges import memory
from tests.hostile.endless_peers import FTP_PLACES, FTP_SHAPES, HTTP_SHAPES
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, fetch_bytes, write

MOST_CPU_S, MOST_BYTES = 1.0, 10_000_000
# Long enough that a limit, and not the clock, has to end it.
TIMEOUT_S = 60.0
SOURCE_BYTES = 1_000_000
FTP_FAULTS = (SourceUnavailable, SourceTooLarge, DeliveryFailed, DeliveryUnknown)


def may_end_well(place: str, shape: str) -> bool:
    """Behind the reply that ends a transfer well nobody needs to listen."""
    return place == "226" and "replies" in shape


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    command = [sys.executable, "-m", "tests.hostile.endless_peers"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peers:
        assert peers.stdout is not None
        yield json.loads(peers.stdout.readline())
        peers.kill()


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    config = Config(allow_networks=LOOPBACK, source_timeout_s=TIMEOUT_S, low_speed_time_s=1)
    made = Transfers(config, Limits(source_bytes=SOURCE_BYTES))
    yield made
    await made.aclose()


@contextmanager
def bounded() -> Iterator[None]:
    used_s, held = time.process_time(), memory(os.getpid(), "VmRSS")
    yield
    assert time.process_time() - used_s < MOST_CPU_S
    assert memory(os.getpid(), "VmRSS") - held < MOST_BYTES


@pytest.mark.parametrize("shape", HTTP_SHAPES)
async def test_an_endless_http_source_is_the_sources_fault(
    transfers: Transfers, ports: dict[str, int], shape: str
) -> None:
    with bounded(), pytest.raises((SourceUnavailable, SourceTooLarge)):
        await fetch_bytes(transfers, f"http://127.0.0.1:{ports[f'http {shape}']}/a.png")


@pytest.mark.parametrize("shape", HTTP_SHAPES)
async def test_an_endless_http_destination_is_the_destinations_fault(
    transfers: Transfers, ports: dict[str, int], shape: str
) -> None:
    place = destination("put", f"http://127.0.0.1:{ports[f'http {shape}']}/a.png")
    with bounded(), suppress(DeliveryFailed, DeliveryUnknown):
        await deliver_bytes(transfers, place, b"picture", write("final", timeout_s=TIMEOUT_S))


@pytest.mark.parametrize("shape", FTP_SHAPES)
@pytest.mark.parametrize("place", [place for place in FTP_PLACES if place not in ("STOR", "RNFR", "RNTO")])
async def test_an_endless_ftp_source_is_the_sources_fault(
    transfers: Transfers, ports: dict[str, int], shape: str, place: str
) -> None:
    with bounded(), suppress(*FTP_FAULTS) if may_end_well(place, shape) else pytest.raises(FTP_FAULTS):
        await fetch_bytes(transfers, f"ftp://127.0.0.1:{ports[f'ftp {shape} {place}']}/a/b.png")


@pytest.mark.parametrize("shape", FTP_SHAPES)
@pytest.mark.parametrize("place", [place for place in FTP_PLACES if place not in ("RETR",)])
async def test_an_endless_ftp_destination_is_the_destinations_fault(
    transfers: Transfers, ports: dict[str, int], shape: str, place: str
) -> None:
    where = destination("ftp", f"ftp://127.0.0.1:{ports[f'ftp {shape} {place}']}/a/b.png")
    with bounded(), suppress(*FTP_FAULTS) if may_end_well(place, shape) else pytest.raises(FTP_FAULTS):
        await deliver_bytes(transfers, where, b"picture", write("final", timeout_s=TIMEOUT_S))
