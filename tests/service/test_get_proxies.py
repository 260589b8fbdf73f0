"""A mount behind a proxy on this machine that the settings do not name: what its clients may have, and who says so."""

from contextlib import ExitStack
from pathlib import Path

from examples.receivers import Behaviour

from tests.support.daemon import wait_until
from tests.support.fronts import Front
from tests.support.getting import Client, begun, gets
from tests.support.operating import Operator

TABLE = """
max_on_demand = 16
max_on_demand_waiting = 0
source_timeout_s = 60
max_transfers_per_host = 16
intake_host_quota = 1.0
[get.thumbor]
path = "/"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""
OF_A_MOUNT, OF_A_CLIENT = 8, 4


def test_clients_of_an_unknown_proxy_here_share_the_mounts_quota(tmp_path: Path) -> None:
    """Its header is not believed, so that no client can take another one's part."""
    with gets(tmp_path, TABLE) as site, ExitStack() as clients:
        site.web.behave("/never", Behaviour(never=True))
        for number in range(OF_A_MOUNT):
            path = f"/unsafe/never{number}.jpg"
            clients.enter_context(begun(site, path, X_Forwarded_For="203.0.113.9"))
        wait_until(lambda: site.metric('transfers{state="running"') == OF_A_MOUNT)
        assert site.get("/unsafe/photo.jpg", X_Forwarded_For="198.51.100.7").status == 429
        wait_until(lambda: "state=untrusted_proxy" in site.server.log)
        assert "203.0.113.9" not in site.server.log


def test_nginx_that_is_not_named_is_seen(tmp_path: Path) -> None:
    """In its plainest configuration. HAProxy's adds nothing by which it could be seen."""
    with gets(tmp_path, TABLE) as site:
        with Client(site.server.url) as here:
            assert here.get("/unsafe/20x0/photo.jpg").size == (20, 15)
        assert "untrusted_proxy" not in Operator(site.server)("status").stdout.decode()
        port = int(site.server.url.rpartition(":")[2])
        with Front("nginx", port, tmp_path / "nginx") as front, Client(f"http://127.0.0.1:{front.port}") as there:
            assert there.get("/unsafe/30x0/photo.jpg").size == (30, 22)
        wait_until(lambda: "state=untrusted_proxy" in site.server.log)
        operator = Operator(site.server)
        assert "trusted_proxies" in operator("status").stdout.decode()
        assert "untrusted_proxy: clients of a proxy here are not told apart" in operator("check").stdout.decode()
