"""Mounts under load: refusals and their Retry-After, quotas of client networks, caps of the cache."""

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path as File

import pytest
from examples.receivers import Behaviour

from tests.support.caching import stored_bytes
from tests.support.daemon import wait_until
from tests.support.getting import KEY, PHOTO, SALT, Gets, Reply, begun, gets, imgproxy_signed
from tests.support.pictures import detailed, encoded

TABLES = """
max_on_demand = 16
max_on_demand_waiting = 0
queue_quota = 0.5
source_timeout_s = 60
cache_bytes = 1_000_000
cache_memory_bytes = 8_000_000
source_cache_bytes = 1_000_000
cache_negative_s = 0
trusted_proxies = ["127.0.0.0/8"]
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
sources = ["WEB/"]
base_url = "WEB/"
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/", "OTHER/"]
base_url = "WEB/"
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""
Path = Callable[[str], str]
# Of 16 slots half are a mount's, and half of these one client network's. Half are for sources of one host.
OF_A_MOUNT, OF_A_CLIENT = 8, 4
DISK_BYTES = 1_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("small")
    (top / "key").write_text(KEY)
    (top / "salt").write_text(SALT)
    with gets(top, TABLES) as server:
        yield server


def renders(server: Gets) -> float:
    return server.metric('stage_seconds_count{stage="render"')


def of_imgproxy(name: str) -> str:
    return imgproxy_signed(f"/plain/{name}")


def of_thumbor(name: str) -> str:
    return f"/thumbor/unsafe/{name}"


def of_iiif(name: str) -> str:
    return f"/iiif/3/{name}/full/max/0/default.jpg"


def held(server: Gets) -> float:
    return server.metric('transfers{state="running"')


@pytest.mark.parametrize(("path", "body"), [(of_imgproxy, b"Too many requests"), (of_thumbor, b""), (of_iiif, None)])
def test_a_client_network_has_its_part_of_a_mount(small: Gets, path: Path, body: bytes | None) -> None:
    """Named by a trusted proxy. Another network's requests are answered, until the mount's part is used up."""
    small.web.behave("/never", Behaviour(never=True))
    with ExitStack() as clients:
        for network, first in (("203.0.113.9", 0), ("2001:db8:1:2::7", 4)):
            for number in range(first, first + OF_A_CLIENT):
                clients.enter_context(begun(small, path(f"never{number}.jpg"), X_Forwarded_For=network))
            wait_until(lambda: held(small) == first + OF_A_CLIENT)  # noqa: B023 - it is called here
            spelt = "2001:db8:1:2:ffff::1" if first else f"198.51.100.1, {network}"
            refused = small.get(path("unseen.jpg"), X_Forwarded_For=spelt)
            assert (refused.status, refused["cache-control"]) == (429, "no-store")
            assert int(refused["retry-after"]) >= 1
            assert body is None or refused.body == body
            other = small.get(path("unseen.jpg" if first else "photo.jpg"), X_Forwarded_For="198.51.100.7")
            assert other.status == (429 if first else 200)
        hit = small.get(path("photo.jpg"), X_Forwarded_For="203.0.113.9")
        assert hit.status == 200
    wait_until(lambda: held(small) == 0)


def test_the_server_sheds_what_is_too_much_as_each_dialect_does(small: Gets) -> None:
    """Two mounts have all slots, so the third has none."""
    small.web.behave("/never", Behaviour(never=True))
    small.other.behave("/never", Behaviour(never=True))
    with ExitStack() as clients:
        for place, path in enumerate((of_imgproxy, of_thumbor)):
            for number in range(OF_A_MOUNT):
                name = f"never-{place}{number}.jpg"
                source = f"{small.other.url}/{name}" if place else name
                clients.enter_context(begun(small, path(source), X_Forwarded_For=f"203.0.113.{number}"))
            wait_until(lambda: held(small) == (place + 1) * OF_A_MOUNT)  # noqa: B023 - it is called here
        refused = small.get("/iiif/3/unseen.jpg/full/max/0/default.jpg")
        assert (refused.status, refused["access-control-allow-origin"]) == (503, "*")
        assert int(refused["retry-after"]) >= 1
    wait_until(lambda: held(small) == 0)


WAITING = """
max_on_demand = 4
max_on_demand_waiting = 8
source_timeout_s = 60
trusted_proxies = ["127.0.0.0/8"]
[get.thumbor]
path = "/"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""


def test_a_request_waits_for_a_slot_and_so_many_may(tmp_path: File) -> None:
    """A network has one slot, and two of its requests may wait for it. Others do not wait behind them."""
    with gets(tmp_path, WAITING) as site, ThreadPoolExecutor(2) as threads:
        site.web.behave("/never", Behaviour(never=True))

        def ask(name: str, network: str = "203.0.113.9") -> Reply:
            return site.get(f"/unsafe/{name}", X_Forwarded_For=network)

        def is_waiting(count: int) -> None:
            wait_until(lambda: site.metric('on_demand{state="waiting"') == count)

        with begun(site, "/unsafe/never.jpg", X_Forwarded_For="203.0.113.9"):
            wait_until(lambda: held(site) == 1)
            waits = threads.submit(ask, "20x0/photo.jpg")
            is_waiting(1)
            with begun(site, "/unsafe/unseen.jpg", X_Forwarded_For="203.0.113.9"):
                is_waiting(2)
                assert ask("unseen-too.jpg").status == 429
                assert ask("30x0/photo.jpg", "198.51.100.7").size == (30, 22)
                assert not waits.done()
            is_waiting(1)  # the other one has hung up
        assert waits.result().size == (20, 15)
        wait_until(lambda: re.search(r" get .* status=200 .* queue_ms=\d+\.\d ", site.server.log))


def test_those_that_wait_leave_half_of_the_connections(tmp_path: File) -> None:
    """Of the eight four may have waiting requests, and of these one network has a quarter."""
    with gets(tmp_path, "max_connections = 8" + WAITING) as site:
        site.web.behave("/never", Behaviour(never=True))
        network = "203.0.113.9"
        with begun(site, "/unsafe/never.jpg", X_Forwarded_For=network):
            wait_until(lambda: held(site) == 1)
            with begun(site, "/unsafe/unseen.jpg", X_Forwarded_For=network):
                wait_until(lambda: site.metric('on_demand{state="waiting"') == 1)
                assert site.get("/unsafe/unseen-too.jpg", X_Forwarded_For=network).status == 429
                assert held(site) == 1, "it has not waited"


def test_a_crowded_network_holds_up_no_other_that_wants_the_same(tmp_path: File) -> None:
    """Its request waits for its own slot, and gets the picture that another network's has begun meanwhile."""
    with gets(tmp_path, WAITING) as site, ThreadPoolExecutor(1) as threads:
        site.web.behave("/never", Behaviour(never=True))

        def ask(network: str) -> Reply:
            return site.get("/unsafe/20x0/photo.jpg", X_Forwarded_For=network)

        with begun(site, "/unsafe/never.jpg", X_Forwarded_For="203.0.113.9"):
            wait_until(lambda: held(site) == 1)
            waits = threads.submit(ask, "203.0.113.9")
            wait_until(lambda: site.metric('on_demand{state="waiting"') == 1)
            assert ask("198.51.100.7").size == (20, 15)
            assert waits.result().size == (20, 15)
            assert held(site) == 1, "the slot that it has waited for is still held"
        assert renders(site) == 1


def test_a_stale_picture_is_shown_where_a_slot_must_be_waited_for(tmp_path: File) -> None:
    """As where its source cannot be asked."""
    switches = {"stale_while_revalidate_s": 0, "stale_if_error_s": 3600}
    with gets(tmp_path, WAITING, switches=switches) as site:
        site.web.behave("/never", Behaviour(never=True))
        site.web.behave("/photo.jpg", Behaviour(headers={"Cache-Control": "max-age=0"}))

        def ask() -> Reply:
            return site.get("/unsafe/20x0/photo.jpg", X_Forwarded_For="203.0.113.9")

        first = ask()
        with begun(site, "/unsafe/never.jpg", X_Forwarded_For="203.0.113.9"):
            wait_until(lambda: held(site) == 1)
            assert (ask().status, ask().body) == (200, first.body)
            assert held(site) == 1, "it has not waited for that slot"
        wait_until(lambda: "served_stale" in site.server.log)


def test_headers_of_strangers_name_no_client(small: Gets) -> None:
    """What stands before the last address that no trusted proxy has is the client's own invention."""
    small.web.behave("/never", Behaviour(never=True))
    with ExitStack() as clients:
        for number in range(OF_A_CLIENT):
            sent = f"10.9.8.{number}, 203.0.113.50"
            path = f"/thumbor/unsafe/never-x{number}.jpg"
            clients.enter_context(begun(small, path, X_Forwarded_For=sent))
        wait_until(lambda: held(small) == OF_A_CLIENT)
        for sent in ("203.0.113.50", "1.2.3.4, 203.0.113.50", "203.0.113.50, 127.0.0.9"):
            assert small.get("/thumbor/unsafe/unseen.jpg", X_Forwarded_For=sent).status == 429
    wait_until(lambda: held(small) == 0)


def resident_bytes(server: Gets) -> int:
    return int(File(f"/proc/{server.server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_trusted_proxy_names_the_mounts_own_url(small: Gets) -> None:
    path = "/iiif/3/photo.jpg/info.json"
    named = small.get(path, X_Forwarded_Proto="https", X_Forwarded_Host="images.example.com, inner.test")
    assert json.loads(named.body)["id"] == "https://images.example.com/iiif/3/photo.jpg"
    assert json.loads(small.get(path).body)["id"] == f"{small.server.url}/iiif/3/photo.jpg"


def test_many_urls_keep_the_caps(small: Gets) -> None:
    """Those of the directory, and of the memory, though each URL is asked for until it is answered without ASGI."""
    small.put("large.jpg", encoded(detailed(200, 150), "jpeg"))
    directory = small.server.data_dir / "cache" / "pictures"

    with small.client() as client:
        paths = [imgproxy_signed(f"/rs:force:{width}:150/q:100/plain/large.jpg") for width in range(100, 160)]
        assert {client.get(path).status for path in paths} == {200}
        wait_until(lambda: 0 < stored_bytes(directory) <= DISK_BYTES)
        before = renders(small)
        assert client.get(paths[-1]).status == 200
        assert renders(small) == before
        assert small.fetches("large.jpg") == [200]
        begin = 0
        for number in range(100):
            if number == 20:  # the cache is full
                begin = resident_bytes(small)
            small.put(f"long{number}.jpg", PHOTO + bytes(500_000))
            path = imgproxy_signed(f"/skp:jpg/plain/long{number}.jpg")
            assert {len(client.get(path).body) for _ in range(4)} == {len(PHOTO) + 500_000}
    assert resident_bytes(small) - begin < 20_000_000
    wait_until(lambda: stored_bytes(directory) <= DISK_BYTES)
