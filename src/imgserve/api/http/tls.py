"""The server's own certificate: TLS 1.2 and newer, forward secrecy, authenticated ciphers only.

In: two PEM files. Out: a context for the listening socket. ``settings`` checks them, ``detach`` loads them while it may
read the key, ``reload`` reads them again at SIGHUP.
"""

import ssl
from pathlib import Path

from imgserve.errors import ImgserveError, cause_of

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good (RFC 9325, 4.2)


class CertificateInvalid(ImgserveError):
    """The server's certificate cannot be used. ``field`` is the setting at fault."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class Certificate:
    """``context`` is ready for the listener. Raises CertificateInvalid."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        self._files = certificate_file, key_file
        self.context = _context(certificate_file, key_file)

    def reload(self) -> None:
        """Read both files again, for new connections. Raises CertificateInvalid, and then keeps the old certificate."""
        _context(*self._files)  # first into a new context: a chain that is loaded in part would stay
        self.context.load_cert_chain(*self._files)


def _context(certificate_file: str, key_file: str) -> ssl.SSLContext:
    for field, name in (("tls_cert", certificate_file), ("tls_key", key_file)):
        try:
            Path(name).read_bytes()
        except OSError as error:
            cause, remedy = cause_of(error)
            raise CertificateInvalid(field, f"{name} cannot be read: {cause} ({remedy or 'name another'})") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Without this callback OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise _invalid(certificate_file, key_file, error) from error
    return context


def _no_password() -> str:
    raise ValueError("encrypted")


def _invalid(certificate_file: str, key_file: str, error: ssl.SSLError | ValueError) -> CertificateInvalid:
    if not isinstance(error, ssl.SSLError):
        return CertificateInvalid("tls_key", f"{key_file} is encrypted; a key without a password is expected")
    if error.reason == "KEY_VALUES_MISMATCH":
        return CertificateInvalid("tls_key", f"{key_file} is not the key of the certificate in {certificate_file}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate_file)
    except ssl.SSLError:
        return CertificateInvalid("tls_cert", f"{certificate_file} holds no certificate in PEM form")
    return CertificateInvalid("tls_key", f"{key_file} holds no private key in PEM form")
