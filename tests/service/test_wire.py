"""What passes over the wire as the operator set it: authorities of the operator's own, a proxy."""

from pathlib import Path

from examples.receivers import HttpReceiver

from tests.service.conftest import opened, put_pictures
from tests.support.certificates import Authority
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.proxying import LittleProxy
from tests.support.vsftpd import Vsftpd


def job(source: str, destination: str) -> dict[str, object]:
    return {
        "operationType": "resize", "srcURL": source, "dstURL": destination, "args": {"width": 20, "height": 10},
    }  # fmt: skip


def test_from_https_to_ftps_with_an_authority_of_the_operators(tmp_path: Path) -> None:
    for name in ("http", "ftp"):
        put_pictures(tmp_path / name)
    authority = Authority(tmp_path)
    pem = authority.server_file("127.0.0.1")
    with (
        HttpReceiver(tmp_path / "http", tls=authority.server("127.0.0.1")) as http,
        Vsftpd(tmp_path / "ftp", tmp_path / "vsftpd", tls="explicit", certificate=pem) as ftp,
    ):
        order = job(http.url + "/Ex.png", ftp.url + "/new/{$width}.png")
        with Daemon(tmp_path / "without", *LOOPBACK) as server:
            reply = server.post(order)
            assert reply.body["code"] == 201
            assert "authority that is not trusted" in str(reply.body["detail"])
        with Daemon(tmp_path / "data", *LOOPBACK, "--ca-file", str(authority.ca_file)) as server:
            assert server.post(order).body == {"dstURL": ftp.url + "/new/20.png"}
            placeholder = tmp_path / "ftp" / "new" / "20.png"
            assert opened(placeholder.read_bytes()).size == (20, 10)
            wait_until(lambda: "ends=delivered" in server.log)
            colours = opened(placeholder.read_bytes()).convert("RGB").getcolors(1000)
            assert colours is not None
            assert len(colours) > 100, "the picture itself"


def test_the_proxy_of_the_settings_and_no_other(tmp_path: Path) -> None:
    put_pictures(tmp_path / "http")
    with HttpReceiver(tmp_path / "http") as http, LittleProxy() as proxy, LittleProxy() as other:
        order = job(http.url + "/Ex.png", http.url + "/x.png") | {"args": {"width": 20, "height": 10, "method": "PUT"}}
        environment = {"http_proxy": f"http://127.0.0.1:{other.port}", "no_proxy": "*"}
        url = f"http://me:pr0xy@127.0.0.1:{proxy.port}"
        with Daemon(tmp_path / "data", *LOOPBACK, "--proxy", url, environment=environment) as server:
            wait_until(lambda: "proxy_in_use" in server.log)
            assert "it must keep jobs from addresses that are not public" in server.log
            assert "dstURL" in server.post(order).body
            wait_until(lambda: "ends=delivered" in server.log)
            assert "pr0xy" not in server.log
            assert {f"GET {http.url}/Ex.png", f"PUT {http.url}/x.png"} <= set(proxy.log)
        with Daemon(tmp_path / "without", *LOOPBACK, environment=environment) as server:
            count = len(proxy.log)
            assert "dstURL" in server.post(order).body
            wait_until(lambda: "ends=delivered" in server.log)
            assert "proxy_in_use" not in server.log
        assert len(proxy.log) == count
        assert not other.log
