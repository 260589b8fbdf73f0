"""SIGHUP: reopens the log file, and reads again: API keys, certificate, presets, pictures, credentials, webhooks, and
the mounts of dialects.

Called by ``lifecycle`` on the event loop.
"""

import asyncio
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from imgserve.api.auth import Keys
from imgserve.api.http.tls import Certificate
from imgserve.api.keyfile import Key
from imgserve.api.presets import Presets
from imgserve.engine import pictures
from imgserve.errors import ImgserveError, sentence_of
from imgserve.server.build import Components
from imgserve.settings import load
from imgserve.settings.load import Reloadable
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs


class Reload:
    """``settings`` are those of the start: no other value of the file is read again.

    ``components`` are set once the server runs; before that it has read everything a moment ago.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        presets: Presets,
        certificate: Certificate | None,
        reopen_log: Callable[[], None],
    ) -> None:
        self.components: Components | None = None
        self._settings = settings
        self._keys = keys
        self._presets = presets
        self._certificate = certificate
        self._reopen_log = reopen_log
        self._last = Reloadable(
            settings.presets, settings.pictures, settings.credentials, settings.webhooks, settings.get
        )
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Reopens the log at once. Replaces the rest soon, or nothing of it where a part cannot be read."""
        try:
            self._reopen_log()
        except (ImgserveError, OSError) as error:
            _log_failure(error)
            return
        task = asyncio.create_task(self._replace())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self) -> None:
        async with self._one_at_a_time:
            try:
                await self._replace_all()
            except (ImgserveError, OSError) as error:
                _log_failure(error)
            else:
                counts = {"keys": len(self._keys.known), "presets": len(self._presets.recipes)}
                counts |= {"credentials": len(self._last.credentials), "webhooks": len(self._last.webhooks)}
                if (running := self.components) is not None:
                    counts |= {"pictures": len(running.named), "mounts": running.on_the_fly.mounts.count}
                logs.event("reloaded", **counts)

    async def _replace_all(self) -> None:
        new_keys = self._settings.api.keys()
        new = self._from_file(new_keys)
        with ExitStack() as unused:
            blobs = {}
            if self.components is not None:
                mounts = self.components.on_the_fly.read(new.get)
                blobs = await pictures.read(new.pictures, self.components.pool, self._settings.limits)
            for blob in blobs.values():
                unused.enter_context(blob)
            if self._certificate is not None:
                self._certificate.reload()
            # The rest cannot fail.
            self._keys.replace(new_keys)
            self._presets.replace(new.presets)
            self._last = new
            if self.components is not None:
                self.components.on_the_fly.replace(mounts)
                self.components.named.replace(blobs)
                self.components.transfers.credentials.replace(new.credentials)
                self.components.webhooks.replace(new.webhooks)
                self.components.streams.restart()
            unused.pop_all()

    def _from_file(self, keys: Sequence[Key]) -> Reloadable:
        """The file may be root's alone, as it was at the start: then all that it does not hold can still be replaced.

        Raises SettingsInvalid.
        """
        file = self._settings.config_file
        if file and load.is_shut(file):
            logs.event("presets_kept", detail=f"the server's user may not read {file}")
            return self._last
        bucket = self._settings.uploads.bucket
        # Without a file there are variables, which name files of keys.
        return load.reloadable(Namespace(config=file or os.devnull), keys=keys, bucket=bucket)


def _log_failure(error: ImgserveError | OSError) -> None:
    logs.event("reload_failed", level=logs.ERROR, detail=sentence_of(error))
