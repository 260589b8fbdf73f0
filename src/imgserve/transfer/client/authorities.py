"""The certificate authorities for TLS: certifi's, and those of the operator's file. Called by ``handle``."""

import os
import ssl
from pathlib import Path

import certifi


class Authorities:
    """``path`` is that of a PEM file for libcurl, until ``close``."""

    def __init__(self, ca_file: str) -> None:
        """Raises OSError, ValueError (see ``check``)."""
        self._fd = -1
        self.path = certifi.where()
        if ca_file:
            check(ca_file)
            # A memfd goes with the process; a file would have to be removed after every kind of end.
            self._fd = os.memfd_create("authorities", os.MFD_CLOEXEC)
            with os.fdopen(os.dup(self._fd), "wb") as bundle:
                bundle.write(Path(certifi.where()).read_bytes() + b"\n" + Path(ca_file).read_bytes())
            self.path = f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def check(ca_file: str) -> None:
    """Raises OSError for a file that cannot be read, ValueError for one without a certificate."""
    Path(ca_file).read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise ValueError("no certificate in it can be read") from error
