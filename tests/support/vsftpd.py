"""vsftpd as it is installed: a second real FTP server beside pyftpdlib, over TLS where it is given a certificate."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pytest

from tests.support.ports import free_port
from tests.support.sizes import PATIENCE_S

Tls = Literal["", "explicit", "implicit"]
_OPTIONS = {
    "listen": "YES", "listen_address": "127.0.0.1", "pasv_address": "127.0.0.1", "background": "NO",
    "run_as_launching_user": "YES", "seccomp_sandbox": "NO", "anonymous_enable": "YES", "write_enable": "YES",
    "anon_upload_enable": "YES", "anon_mkdir_write_enable": "YES", "anon_other_write_enable": "YES",
    "anon_world_readable_only": "NO", "anon_umask": "022", "log_ftp_protocol": "YES", "xferlog_enable": "YES",
    "xferlog_std_format": "NO", "use_localtime": "NO", "allow_writeable_chroot": "YES",
}  # fmt: skip
_TLS_OPTIONS = {
    "ssl_enable": "YES", "allow_anon_ssl": "YES", "require_ssl_reuse": "YES", "ssl_ciphers": "HIGH",
    "strict_ssl_read_eof": "YES",
}  # fmt: skip


def program() -> str:
    """Where vsftpd is; without it the test is skipped."""
    found = shutil.which("vsftpd", path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        pytest.skip("vsftpd is not installed; to run this: apt-get install vsftpd")
    return found


class Vsftpd:
    """Serves ``directory`` to anonymous users; with ``tls`` it wants TLS for commands *and* data."""

    def __init__(
        self,
        directory: Path,
        work: Path,
        *,
        tls: Tls = "",
        certificate: Path | None = None,
        is_tls_required: bool = True,
        more: dict[str, str] | None = None,
    ) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._program = program()
        self._log = work / "vsftpd.log"
        self.port = free_port()
        options = _OPTIONS | {
            "listen_port": str(self.port), "anon_root": str(directory), "vsftpd_log_file": str(self._log),
            "ftp_username": pwd.getpwuid(os.geteuid()).pw_name, "secure_chroot_dir": str(work),
        }  # fmt: skip
        if tls:
            options |= _TLS_OPTIONS | {"rsa_cert_file": str(certificate), "implicit_ssl": _yes(tls == "implicit")}
            options |= dict.fromkeys(("force_anon_logins_ssl", "force_anon_data_ssl"), _yes(is_tls_required))
        options |= more or {}
        self._configuration = work / "vsftpd.conf"
        self._configuration.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
        self._configuration.chmod(0o600)
        scheme = {"": "ftp", "explicit": "ftpes", "implicit": "ftps"}[tls]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def commands(self) -> list[str]:
        """What the client sent, as vsftpd logs it, without arguments."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return re.findall(r'FTP command: Client "[^"]*", "(\w+)', text)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([self._program, str(self._configuration)], stdout=subprocess.PIPE)
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, self._process.communicate()[0]
                assert time.monotonic() < ends_at, "vsftpd does not listen"
                time.sleep(0.005)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=10)


def _yes(value: bool) -> str:
    return "YES" if value else "NO"
