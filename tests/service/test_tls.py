"""The server behind TLS of its own: who gets in, what is refused at the start, what a reload changes."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from imgserve.api.config import Config
from imgserve.client import Client, Unreachable
from imgserve.setting import Problem
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, wait_until


def split(pem: Path, directory: Path) -> tuple[str, str]:
    """Certificate and key of ``Authority.server_file`` as two files."""
    key, mark, certificate = pem.read_text().partition("-----BEGIN CERTIFICATE-----")
    (directory / "cert.pem").write_text(mark + certificate)
    (directory / "key.pem").write_text(key)
    return str(directory / "cert.pem"), str(directory / "key.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("tls")
    certificate, key = split(authority.server_file("127.0.0.1"), top)
    flags = ("--tls-cert", certificate, "--tls-key", key)
    with Daemon(top / "data", *flags, switches={"request_header_timeout_s": 1}) as daemon:
        yield daemon


def port_of(server: Daemon) -> int:
    return int(server.url.rpartition(":")[2])


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_file))


def speaking(server: Daemon, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")
    except OSError:
        plain.close()
        raise


def ask(server: Daemon, context: ssl.SSLContext, job: bytes = b"") -> bytes:
    connection = HTTPSConnection("127.0.0.1", port_of(server), timeout=10, context=context)
    try:
        connection.request("POST" if job else "GET", "/" if job else "/health", job or None)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_jobs_are_taken_by_tls(server: Daemon, authority: Authority) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    assert json.loads(ask(server, trusting(authority)))["status"] == "ok"
    reply = ask(server, trusting(authority), b'{"operationType": "resize"}')
    assert json.loads(reply)["code"] == 101


def test_the_client_trusts_the_authority_that_it_is_given(server: Daemon, authority: Authority) -> None:
    with Client(server.url, tls=trusting(authority)) as client:
        assert list(client.jobs()) == []
    with Client(server.url) as stranger, pytest.raises(Unreachable, match="certificate") as caught:
        stranger.job("0")  # at once, though it would try for a minute
    assert "cafile" in caught.value.sentence()


def test_only_new_tls_with_good_ciphers(server: Daemon, authority: Authority) -> None:
    def handshake(context: ssl.SSLContext) -> tuple[str | None, str]:
        with speaking(server, context) as secure:
            cipher = secure.cipher()
            assert cipher is not None
            return secure.version(), cipher[0]

    assert handshake(trusting(authority))[0] == "TLSv1.3"
    older = trusting(authority)
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    version, cipher = handshake(older)
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")
    assert "GCM" in cipher or "CHACHA20" in cipher
    for ciphers in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA256"):
        weak = trusting(authority)
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            handshake(weak)
    oldest = trusting(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        oldest.minimum_version = oldest.maximum_version = ssl.TLSVersion.TLSv1_1
    oldest.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        handshake(oldest)


def test_plain_http_gets_no_answer(server: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with plain.makefile("rb") as answer, suppress(ConnectionError):
            assert b"HTTP/" not in answer.read()


@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_that_does_not_get_on_is_ended(server: Daemon, beginning: bytes) -> None:
    """The deadline is the one for headers; it was set to 1 s, and would else be a minute."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as plain:
        plain.sendall(beginning)
        with suppress(ConnectionError):
            assert plain.recv(100) == b""


def test_a_header_that_does_not_get_on_is_ended(server: Daemon, authority: Authority) -> None:
    with speaking(server, trusting(authority)) as secure:
        secure.sendall(b"GET /health HTTP/1.1\r\n")
        assert secure.recv(100) == b""


def serial(server: Daemon, authority: Authority) -> int:
    with speaking(server, trusting(authority)) as secure:
        data = secure.getpeercert(binary_form=True)
        assert data is not None
        return x509.load_der_x509_certificate(data).serial_number


def test_a_new_certificate_counts_after_sighup_and_a_broken_one_never(authority: Authority, tmp_path: Path) -> None:
    certificate, key = split(authority.server_file("127.0.0.1"), tmp_path)
    with Daemon(tmp_path / "data", "--tls-cert", certificate, "--tls-key", key) as server:
        first = serial(server, authority)
        kept = HTTPSConnection("127.0.0.1", port_of(server), timeout=10, context=trusting(authority))
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        split(authority.server_file("127.0.0.1"), tmp_path)
        (tmp_path / "key.pem").write_text("nothing")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reload_failed" in server.log)
        assert "holds no private key" in server.log
        assert serial(server, authority) == first
        split(authority.server_file("127.0.0.1"), tmp_path)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in server.log)
        assert serial(server, authority) != first
        kept.request("GET", "/health")
        assert kept.getresponse().status == 200, "a connection that stands is not broken off"
        kept.close()


def test_a_reload_takes_all_files_or_none(authority: Authority, tmp_path: Path) -> None:
    keys, old, new = tmp_path / "keys", "the-old-key-of-somebody", "the-new-key-of-somebody"
    keys.write_text(old)
    certificate, key = split(authority.server_file("127.0.0.1"), tmp_path)
    words = "--api-key-file", str(keys), "--tls-cert", certificate, "--tls-key", key

    def answered(server: Daemon) -> list[int]:
        found = []
        for shown in (old, new):
            asking = HTTPSConnection("127.0.0.1", port_of(server), timeout=10, context=trusting(authority))
            asking.request("GET", "/", headers={"Authorization": f"Bearer {shown}"})
            found.append(asking.getresponse().status)
            asking.close()
        return found

    with Daemon(tmp_path / "data", *words) as server:
        first = serial(server, authority)
        keys.write_text(new)
        Path(certificate).write_text("nothing")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reload_failed" in server.log)
        assert answered(server) == [200, 401], "good keys beside a broken certificate"
        keys.write_text("short")
        split(authority.server_file("127.0.0.1"), tmp_path)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.log.count("reload_failed") == 2)
        assert serial(server, authority) == first, "a good certificate beside broken keys"
        keys.write_text(new)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in server.log)
        assert answered(server) == [401, 200]
        assert serial(server, authority) != first


def test_status_asks_by_tls(authority: Authority, tmp_path: Path) -> None:
    certificate, key = split(authority.server_file("imgserve.test"), tmp_path)
    own = ["--data-dir", str(tmp_path / "d"), "--pid-file", str(tmp_path / "pid")]
    start = ["start", "--host", "127.0.0.1", "--port", "0", "--workers", "1", "--log-file", str(tmp_path / "log")]
    run = [sys.executable, "-m", "imgserve"]
    tls = ["--tls-cert", certificate, "--tls-key", key]
    started = subprocess.run([*run, *start, *own, *tls], capture_output=True, text=True, timeout=30, check=True)
    try:
        assert "https://127.0.0.1:" in started.stdout
        status = subprocess.run([*run, "status", *own], capture_output=True, text=True, timeout=20, check=False)
        assert "state    ok" in status.stdout
    finally:
        subprocess.run([*run, "stop", *own], capture_output=True, timeout=40, check=True)


def test_what_cannot_be_served_with_is_told_at_the_start(authority: Authority, tmp_path: Path) -> None:
    certificate, key = split(authority.server_file("127.0.0.1"), tmp_path)
    (tmp_path / "b").mkdir()
    _, other_key = split(authority.server_file("127.0.0.1"), tmp_path / "b")
    (tmp_path / "empty").touch()
    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    sealed = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "sealed").write_bytes(sealed)
    empty, gone, is_sealed = str(tmp_path / "empty"), str(tmp_path / "gone"), str(tmp_path / "sealed")
    cases = {
        (certificate, other_key): f"tls_key: {other_key} is not the key of the certificate in {certificate}",
        (certificate, gone): f"tls_key: {gone} cannot be read: No such file or directory (check the path)",
        (gone, key): f"tls_cert: {gone} cannot be read: No such file or directory (check the path)",
        (empty, key): f"tls_cert: {empty} holds no certificate in PEM form",
        (certificate, empty): f"tls_key: {empty} holds no private key in PEM form",
        (certificate, is_sealed): f"tls_key: {is_sealed} is encrypted; a key without a password is expected",
        (certificate, ""): "tls_cert: expected tls_key (--tls-key) beside it",
        ("", key): "tls_key: expected tls_cert (--tls-cert) beside it",
    }
    for (cert_file, key_file), sentence in cases.items():
        field, text = sentence.split(": ", 1)
        assert Config(tls_cert=cert_file, tls_key=key_file).problems() == (Problem(field, text),)
    command = [sys.executable, "-m", "imgserve", "start", "--foreground", "--data-dir", str(tmp_path / "d")]
    ended = subprocess.run(
        [*command, "--tls-cert", certificate, "--tls-key", is_sealed], capture_output=True, text=True, timeout=20,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    told = cases[certificate, is_sealed].replace("tls_key", "--tls-key", 1)
    assert (ended.returncode, ended.stderr) == (1, f"imgserve: {told}\n")
