"""Purges of the caches of all nodes, as news. A node that cannot hear learns, once it can, that it has missed some."""

import time
from collections.abc import Callable

from imgserve.jobs.postgres import news
from imgserve.jobs.postgres.news import News
from imgserve.jobs.postgres.signals import Signals
from imgserve.jobs.purge import Purge


class SharedPurges:
    """``interest_s``: for so long a node wants what it has said that it wants."""

    def __init__(self, signals: Signals, interest_s: float) -> None:
        self._signals = signals
        self._interest_s = interest_s
        self._purged: Callable[[Purge], object] | None = None
        self._missed: Callable[[], object] = lambda: None
        self._wanted_until = 0.0
        self._has_untold = False

    def listen(self, purged: Callable[[Purge], object], missed: Callable[[], object]) -> None:
        self._purged, self._missed = purged, missed
        self.connected()

    @property
    def is_wanted(self) -> bool:
        """By another node."""
        return self._wanted_until > time.monotonic()

    def tell(self, purge: Purge) -> None:
        if self.is_wanted:
            self._signals.tell_soon().purged.append(news.short(purge))
        else:
            self._has_untold = True

    def connected(self) -> None:
        """This node hears from now on."""
        if self._purged is not None:
            self._missed()
            self.want()

    def want(self) -> None:
        """Told with each heartbeat."""
        if self._purged is not None:
            self._signals.tell_soon().hears_purges = True

    def hear(self, heard: News) -> None:
        if heard.hears_purges:
            self._wanted_until = time.monotonic() + self._interest_s
            if self._has_untold:
                self._has_untold = False
                self._signals.tell_soon().has_untold_purges = True
        if self._purged is None:
            return
        if heard.has_untold_purges:
            self._missed()
        for purge in heard.purged:
            self._purged(purge)
