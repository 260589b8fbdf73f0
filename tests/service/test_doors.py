"""Who gets in, what the doors answer, and what no answer and no log line may hold."""

import base64
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.service.conftest import World, put_pictures
from tests.support.daemon import Daemon, wait_until
from tests.support.fronts import FRONTS, Front
from tests.support.operating import Operator, ask
from tests.support.processes import below

KEY = "a-key-of-some-length-01"


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_page_and_health(world: World) -> None:
    status, page = get(world.server.url + "/")
    assert status == 200
    assert "curl" in page
    assert world.server.url.removeprefix("http://") in page
    status, health = get(world.server.url + "/health")
    written = ["jpeg", "png", "webp", "gif", "tiff", "avif"]
    formats = {"read": [*written, "heic", "bmp", "ico", "svg"], "write": written}
    assert (status, json.loads(health)) == (200, {"status": "ok", "sandbox": "landlock+seccomp", "formats": formats})
    assert get(world.server.url + "/nowhere")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"X-Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Anything": "x"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X-Original-Forwarded-For": "127.0.0.1"},
        {"X-Cluster-Client-IP": "127.0.0.1"},
        {"X-Client-IP": "127.0.0.1"},
        {"X-Envoy-External-Address": "127.0.0.1"},
        {"X-Amzn-Trace-Id": "Root=1-1"},
        {"X-Azure-ClientIP": "127.0.0.1"},
        {"X-Scheme": "https"},
        {"True-Client-IP": "127.0.0.1"},
        {"CF-Connecting-IP": "127.0.0.1"},
        {"CF-Ray": "1"},
        {"CDN-Loop": "cloudflare"},
        {"Fastly-Client-IP": "127.0.0.1"},
        {"Fly-Client-IP": "127.0.0.1"},
        {"Client-IP": "127.0.0.1"},
        {"Forwarded-For": "127.0.0.1"},
        {"X-Forwarder-For": "127.0.0.1"},
        {"X-Originating-IP": "127.0.0.1"},
        {"X-Remote-Host": "localhost"},
        {"X-Varnish": "1"},
        {"X-NF-Client-Connection-IP": "127.0.0.1"},
        {"X-Kong-Request-Id": "1"},
        {"X-Consumer-ID": "1"},
        {"l5d-client-id": "1"},
        {"Ngrok-Auth-User-Id": "1"},
        {"Tailscale-User-Login": "me"},
        {"X-Goog-IAP-JWT-Assertion": "1"},
        {"X-MS-CLIENT-PRINCIPAL": "1"},
        {"X-Auth-Request-User": "me"},
        {"Remote-User": "me"},
        {"EagleId": "1"},
        {"X-Iinfo": "1"},
        {"Early-Data": "1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
def test_protected_mode_refuses_pages_and_proxies(world: World, headers: dict[str, str]) -> None:
    reply = world.server.post({}, headers=headers)
    assert (reply.status, reply.body["msg"], reply.body["code"]) == (401, "request invalid", 302)
    assert "--api-key-file" in str(reply.body["detail"])
    assert get(world.server.url + "/", headers)[0] == 401


def test_protected_mode_serves_this_machine(world: World) -> None:
    port = world.server.url.rpartition(":")[2]
    for host in ("localhost", f"localhost:{port}", "127.0.0.2", "[::1]", f"[::1]:{port}"):
        assert world.server.post({}, headers={"Host": host}).status == 200
    own = {"Origin": world.server.url, "Sec-Fetch-Site": "same-origin"}
    assert world.server.post({}, headers=own).status == 200


def test_headers_of_programs_are_no_proxy(world: World) -> None:
    """What curl, Python, Java, PHP and tracing send of their own."""
    for headers in (
        {"X-Requested-With": "XMLHttpRequest"}, {"X-Request-Id": "1"}, {"traceparent": "00-0-0-00"}, {"X-Host-Id": "1"},
        {"Proxy-Connection": "keep-alive"}, {"Cache-Control": "no-cache"}, {"Viable": "1"}, {"CFD": "1"},
        {"X-B3-TraceId": "1"}, {"X-Goog-Api-Client": "1"}, {"X-Correlation-Id": "1"},
        {"Forward": "1"}, {"X-Client-Id": "1"},
    ):  # fmt: skip
        assert world.server.post({}, headers=headers).status == 200, headers


def test_a_second_header_hides_no_first(world: World) -> None:
    port = int(world.server.url.rpartition(":")[2])
    for name in (b"Origin", b"Sec-Fetch-Site"):
        good = {b"Origin": world.server.url.encode(), b"Sec-Fetch-Site": b"same-origin"}[name]
        for values, status in (((b"http://evil.example", good), b"401"), ((good, b"null"), b"401"), ((good,), b"200")):
            lines = b"".join(b"%b: %b\r\n" % (name, value) for value in values)
            with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
                host = b"Host: %b\r\n" % world.server.url.removeprefix("http://").encode()
                connection.sendall(b"GET / HTTP/1.1\r\n" + host + lines + b"Connection: close\r\n\r\n")
                assert connection.recv(100).split()[1] == status, lines


def test_a_proxy_that_adds_nothing_is_suspected(tmp_path: Path) -> None:
    """nginx and HAProxy in their plainest configurations, and ``ab``, which is served like them and not suspected."""
    with Daemon(tmp_path / "data") as server:
        operator, port = Operator(server), int(server.url.rpartition(":")[2])
        ab = b"GET / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
            connection.sendall(ab)
            assert connection.recv(100).split()[1] == b"200"
        assert ask(server.data_dir, "GET", "/v1/server").body["states"] == []
        for name in FRONTS:
            with Front(name, port, tmp_path / name) as front:
                assert get(f"http://127.0.0.1:{front.port}/", {"User-Agent": "a stranger"})[0] == 200
        wait_until(lambda: "state_entered" in server.log)
        assert server.log.count("state=possible_proxy") == 1
        told = ask(server.data_dir, "GET", "/v1/server").body
        assert (told["status"], [state["name"] for state in told["states"]]) == ("ok", ["possible_proxy"])
        assert "possible_proxy: requests come by HTTP/1.0 with Connection: close" in operator("check").stdout.decode()
        assert "api_key_file" in operator("status").stdout.decode()


def test_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"  # ours, and some others as well\n{KEY}\n\nanother-key-of-length-2\n")
    with Daemon(tmp_path / "data", "--api-key-file", str(keys)) as server:
        for headers in ({}, {"Authorization": "Bearer wrong-key-0123456789"}, {"Authorization": f"Basic {KEY}"}):
            reply = server.post({}, headers=headers)
            assert (reply.status, reply.body["code"]) == (401, 302)
        for key in (KEY, "another-key-of-length-2"):
            reply = server.post({}, headers={"Authorization": f"Bearer {key}", "Host": "pictures.example"})
            assert (reply.status, reply.body["code"]) == (200, 101)
        assert get(server.url + "/health")[0] == 200
        assert get(server.url + "/")[0] == 401
        assert server.stop() == 0
    assert KEY not in server.log


def test_keys_have_names(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    lines = ("shop:the-key-of-the-shop-1", "blog   the-key-of-the-blog-1", "# none", "bare:but-it-was-always-so")
    keys.write_text("\n".join((*lines, "abare-key-of-length-4")))
    (tmp_path / "out").mkdir()
    put_pictures(tmp_path / "in")
    arguments = ("--read-root", str(tmp_path / "in"), "--write-root", str(tmp_path / "out"))
    with Daemon(tmp_path / "data", "--api-key-file", str(keys), *arguments) as server:
        for number, (key, name) in enumerate({
            "the-key-of-the-shop-1": "shop", "the-key-of-the-blog-1": "blog", "bare:but-it-was-always-so": "bare",
            "but-it-was-always-so": "bare", "abare-key-of-length-4": "line-5",
        }.items()):  # fmt: skip
            job = {
                "operationType": "resize", "srcURL": f"file://{tmp_path}/in/Ex.png",
                "dstURL": f"file://{tmp_path}/out/{number}.png", "args": {"width": 4, "height": 3},
            }  # fmt: skip
            assert server.post(job, headers={"Authorization": f"Bearer {key}"}).status == 200
            wait_until(lambda told=f" number={number + 1} principal={name} ": told in server.log)  # type: ignore[misc]
            assert key not in server.log
        for key in ("shop", "shop:", "the-key-of-the-shop", "blog   the-key-of-the-blog-1x", "line-5"):
            assert server.post({}, headers={"Authorization": f"Bearer {key}"}).status == 401


def test_a_bad_line_of_the_key_file_is_named_and_not_shown(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("shop:the-key-of-the-shop-1\nblog:too-short\n")
    with pytest.raises(AssertionError, match="ended with 1") as refused:
        Daemon(tmp_path / "data", "--api-key-file", str(keys)).start()
    assert f"line 2 of {keys}: each key must be" in str(refused.value)
    assert "too-short" not in str(refused.value)
    keys.write_text("shop:the-key-of-the-shop-1\nblog:the-key-of-the-shop-1\n")
    with pytest.raises(AssertionError, match="ended with 1") as refused:
        Daemon(tmp_path / "data", "--api-key-file", str(keys)).start()
    assert f"lines 1 and 2 of {keys} hold the same key" in str(refused.value)
    assert "the-key-of-the-shop" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/", None, {}), ("/health", None, {}), ("/metrics", None, {}), ("/nowhere", None, {}),
        ("/health", b"not allowed", {}), ("/nowhere", b"x", {}), ("/", b"x" * 1_100_000, {}),
        ("/", b"{}", {}), ("/", b"no JSON", {}), ("/", b"{}", {"Origin": "http://evil.example"}),
    ],
)  # fmt: skip
def test_every_answer_has_the_headers(world: World, path: str, body: bytes | None, headers: dict[str, str]) -> None:
    request = urllib.request.Request(world.server.url + path, data=body, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        seen = {name.lower(): value for name, value in answer.headers.items()}
        text = answer.read().decode()
    assert len(seen) == len(answer.headers.items()), "a header came twice"
    assert seen["x-content-type-options"] == "nosniff"
    assert seen["referrer-policy"] == "no-referrer"
    assert seen["x-frame-options"] == "DENY"
    assert seen["cache-control"] == "no-store"
    policy = seen["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_oversized_body_is_413(world: World) -> None:
    reply = world.server.post(b'{"a": "' + b"x" * 1_000_000 + b'"}')
    assert (reply.status, reply.body) == (413, {"msg": "request parse error"})


def test_half_a_header_is_ended(world: World) -> None:
    port = int(world.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
        assert connection.recv(100) == b""


def test_half_a_body_is_ended(world: World) -> None:
    port = int(world.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
        with connection.makefile("rb") as answer:
            assert answer.read().endswith(b'{"msg":"request parse error"}')


@pytest.mark.parametrize(
    ("request_bytes", "more"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
        (b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100000\r\n\r\n", b"x"),
    ],
)
def test_bytes_that_begin_no_request_do_not_keep_a_connection(world: World, request_bytes: bytes, more: bytes) -> None:
    port = int(world.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(1000).startswith(b"HTTP/1.1 ")
        try:
            connection.sendall(more)
            while connection.recv(1000):
                pass
        except ConnectionError:
            pass


def test_the_queue_is_its_owners_alone(world: World) -> None:
    kept = list(world.server.data_dir.glob("queue.sqlite*"))
    assert kept
    assert {place.stat().st_mode & 0o077 for place in kept} == {0}


def test_no_secret_is_shown_but_to_its_sender(world: World) -> None:
    secret = "s3cr3t-0f-the-user"
    world.server.post(b"{}")
    source = f"{world.http.url.replace('http://', f'http://me:{secret}-a@')}/Ex.png?token={secret}-b"
    good = {
        "operationType": "resize", "srcURL": source,
        "dstURL": f"{world.http.url.replace('http://', f'http://me:{secret}-c@')}/put/secret.png?sig={secret}-d",
        "args": {"width": 20, "height": 20, "method": "PUT"},
    }  # fmt: skip
    assert secret in str(world.server.post(good).body["dstURL"])
    for change in (
        {"srcURL": source.replace("Ex.png", "absent.png")},
        {"dstURL": f"ftp://me:{secret}@no-such-host.invalid/x.png", "args": {"width": 20, "height": 20}},
        {"dstURL": f"ftp://me:{secret}@127.0.0.1:1/x.png", "args": {"width": 20, "height": 20}},
        {"srcURL": f"http://me:{secret}@10.0.0.1/x.png"},
        {"srcURL": f"nonsense://{secret}@x/"},
        {"args": {secret: 1, "method": "PUT"}},
    ):
        reply = world.server.post({**good, **change})
        assert reply.body["code"]
        if secret not in json.dumps(change.get("args", {})):
            assert secret not in json.dumps(reply.body)
    wait_until(lambda: "ends=delivered" in world.server.log)
    assert secret not in world.server.log


def test_second_server_on_the_same_data_is_refused(world: World, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imgserve", "start", "--foreground", "--host", "127.0.0.1", "--port", "0"]
    second = subprocess.run(
        [*command, "--data-dir", str(world.server.data_dir)], capture_output=True, text=True, timeout=20, check=False
    )
    assert second.returncode == 1
    assert "belongs to another running imgserve" in second.stderr
    port = world.server.url.rpartition(":")[2]
    command[-1] = port
    third = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "d")], capture_output=True, text=True, timeout=20, check=False
    )
    assert third.returncode == 1
    assert "cannot listen" in third.stderr


def test_all_faults_of_the_settings_at_once(tmp_path: Path) -> None:
    flags = ["--allow-network", "nonsense", "--read-root", str(tmp_path / "absent"), "--workers", "0"]
    flags += ["--api-key-file", str(tmp_path / "no-keys")]
    ended = subprocess.run(
        [sys.executable, "-m", "imgserve", "start", *flags], capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    for word in ("nonsense", "absent", "--workers", "--api-key-file"):
        assert word in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_0_and_no_child_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with Daemon(tmp_path / "data") as server:
        children = below(server.pid)
        assert len(children) == 5
        server._process.send_signal(number)  # type: ignore[union-attr]
        assert server.wait() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_no_child_outlives_a_killed_server(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        children = below(server.pid)
        server.kill()
        wait_until(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()])


def test_classic_single_dash_options(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data", "-host", "127.0.0.1", "-port", "0") as server:
        assert get(server.url + "/health")[0] == 200


def test_what_is_not_there_is_a_problem_like_any_other(world: World) -> None:
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "no_such_page"),
        ("POST", "/v1/nowhere", 404, "no_such_page"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("PUT", "/", 405, "method_not_allowed"),
    ):
        request = urllib.request.Request(world.server.url + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        with caught.value as answer:
            problem = json.loads(answer.read())
            assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
            assert answer.headers["content-type"] == "application/problem+json"
            assert path in problem["detail"]
            assert problem["hint"]
            assert (status == 405) == bool(answer.headers["allow"])


def test_broken_json_is_told_in_a_header_and_in_the_log(world: World) -> None:
    reply = world.server.post(b'{"srcURL": "http://a.test/hush",\n "dstURL" 3}')
    assert (reply.status, reply.body) == (200, {"msg": "request parse error"})
    place = "the body is not JSON: line 2, column 11: expecting ':' delimiter"
    assert reply.headers["x-imgserve-detail"] == place
    wait_until(lambda: place in world.server.log)
    assert "hush" not in world.server.log
