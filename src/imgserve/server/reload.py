"""SIGHUP: reopens the log file, and reads API keys, certificate and presets again. Called by ``lifecycle`` on the event
loop.
"""

from argparse import Namespace
from collections.abc import Callable

from imgserve.api.auth import Keys
from imgserve.api.http.tls import Certificate
from imgserve.api.presets import Presets
from imgserve.errors import ImgserveError, sentence_of
from imgserve.request.preset import Config
from imgserve.settings import load
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs


def reload(
    settings: Settings,
    keys: Keys,
    presets: Presets,
    certificate: Certificate | None,
    reopen_log: Callable[[], None],
) -> None:
    """Reopens the log first. Replaces keys, certificate and presets, or none of them where one cannot be read.

    ``settings`` are those of the start: no other value of the file is read again.
    """
    try:
        reopen_log()
        new_keys, new_presets = settings.api.keys(), _presets(settings)
        if certificate is not None:
            certificate.reload()
        keys.replace(new_keys)  # what cannot fail comes last
        if new_presets is not None:
            presets.replace(new_presets)
    except (ImgserveError, OSError) as error:
        logs.event("reload_failed", level=logs.ERROR, detail=sentence_of(error))
    else:
        logs.event("reloaded", keys=len(keys.known), presets=len(presets.recipes))


def _presets(settings: Settings) -> Config | None:
    """None: the file may be root's alone, as it was at the start; then keys and certificate can still be replaced.

    Raises SettingsInvalid.
    """
    file = settings.config_file
    if file and load.is_shut(file):
        logs.event("presets_kept", detail=f"the server's user may not read {file}")
        return None
    return load.presets(Namespace(config=file)) if file else None
