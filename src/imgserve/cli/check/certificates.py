"""The server's own certificate: when does it end? Called by ``report``.

The standard library shows the end of a certificate only to who has verified it, so the server's is shown to a client
in this process, over memory instead of a network.
"""

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from imgserve.api.config import Config as ApiConfig
from imgserve.api.http.tls import CertificateInvalid
from imgserve.cli.check.finding import Finding, as_whom, fault, ok, unknown, warning

SOON_S = 14 * 86_400.0
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def own(config: ApiConfig) -> Iterator[Finding]:
    """The certificate that the server shows, if it has one."""
    try:
        certificate = config.certificate()
    except CertificateInvalid as error:  # another user's: for its own user it would be a fault of the settings
        yield unknown(error.field, error.sentence(), as_whom("the server's user"))
        return
    if certificate is None:
        return
    try:
        ends_at = _end(certificate.context, config.tls_cert)
    except ssl.SSLCertVerificationError as error:
        detail = "has expired" if error.verify_code == _EXPIRED else f"is refused by clients: {error.verify_message}"
        yield fault("tls_cert", f"{config.tls_cert} {detail}", "renew it, then kill -HUP")
        return
    said = f"{config.tls_cert} ends {datetime.fromtimestamp(ends_at, UTC):%Y-%m-%d}"
    if ends_at - time.time() < SOON_S:
        yield warning("tls_cert", said, "renew it, then kill -HUP")
    else:
        yield ok("tls_cert", said)


def _end(server: ssl.SSLContext, certificate_file: str) -> float:
    """Seconds since 1970. Raises ssl.SSLCertVerificationError when a client would not take the certificate."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it vouches for itself: only its time is judged
    client.load_verify_locations(cafile=certificate_file)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    told = ends[0].getpeercert()
    return ssl.cert_time_to_seconds(str(told["notAfter"])) if told else 0.0
