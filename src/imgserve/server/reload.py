"""SIGHUP: reopens the log file, and reads API keys and certificate again. Called by ``lifecycle`` on the event loop."""

from collections.abc import Callable

from imgserve.api.auth import Keys
from imgserve.api.config import Config
from imgserve.api.http.tls import Certificate
from imgserve.errors import ImgserveError, sentence_of
from imgserve.telemetry import logs


def reload(keys: Keys, config: Config, certificate: Certificate | None, reopen_log: Callable[[], None]) -> None:
    """Reopens the log first. Replaces keys and certificate, or neither where one cannot be read."""
    try:
        reopen_log()
        new_keys = config.keys()
        if certificate is not None:
            certificate.reload()
        keys.replace(new_keys)  # what cannot fail comes last
    except (ImgserveError, OSError) as error:
        logs.event("reload_failed", level=logs.ERROR, detail=sentence_of(error))
    else:
        logs.event("reloaded", keys=len(keys.known))
