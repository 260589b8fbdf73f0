"""SIGHUP: takes the log file, the API keys and the certificate anew. Called by ``lifecycle`` on the event loop."""

from collections.abc import Callable

from imgserve.api.auth import Keys
from imgserve.api.http.tls import Certificate, CertificateInvalid
from imgserve.api.keyfile import KeyFileInvalid, read_keys
from imgserve.errors import sentence_of
from imgserve.telemetry import logs


def reload(keys: Keys, key_file: str, certificate: Certificate | None, reopen_log: Callable[[], None]) -> None:
    """The log is opened anew first. Keys and certificate are both taken, or neither where one cannot be read."""
    try:
        reopen_log()
        read = read_keys(key_file) if key_file else None
        if certificate is not None:
            certificate.reload()
        if read is not None:  # what cannot fail comes last
            keys.replace(read)
    except (KeyFileInvalid, CertificateInvalid, OSError) as error:
        logs.event("reload_failed", level=logs.ERROR, detail=sentence_of(error))
    else:
        logs.event("reloaded", keys=len(keys.known))
