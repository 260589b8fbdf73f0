"""Starts workers: forked by a template, or by exec if there is no template. For ``stock.py``.

A template is replaced after a number of forks, after a time, and after a worker that crashed: its children share their
layout in memory, so an attacker who guessed wrong in one must not continue in the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from imgserve.imaging.config import Config
from imgserve.imaging.messages import WORKER
from imgserve.imaging.process import CannotStartWorker, Child, TemplateFailed, start
from imgserve.imaging.template import Template, start_template
from imgserve.telemetry import logs

MOST_FORKS = 10_000
LONGEST_LIFE_S = 3600.0
# A template that cannot start is not tried again for each worker: exec serves meanwhile.
RETRY_AFTER_S = 60.0


class Starter:
    """``retire`` receives the workers of a replaced template, which get no more pictures.

    ``is_forking``: whether the next worker will be forked, and so will share most of its memory with the others.
    """

    def __init__(self, config: Config, retire: Callable[[Iterable[Child]], None]) -> None:
        self._has_template = self.is_forking = config.isolation != "shared"
        self._config = config
        self._retire = retire
        self._lock = asyncio.Lock()
        self._template: Template | None = None
        self._unreaped: set[Template] = set()
        self._parents: dict[Child, Template] = {}
        self._is_worn = False
        self._started_at = 0.0
        self._not_before = 0.0

    @property
    def template_pids(self) -> tuple[int, ...]:
        """Of the template, and of replaced ones whose workers still live."""
        return tuple(template.pid for template in self._unreaped if template.is_alive)

    async def start(self) -> Child:
        """A worker that is ready and has read nothing. Raises CannotStartWorker."""
        async with self._lock:
            template = await self._current()
        if template is not None:
            try:
                child = await template.fork()
            except TemplateFailed as error:
                self._give_up(template, error)
            else:
                self._parents[child] = template
                return child
        return await start(self._config, WORKER, Child)

    def died(self, child: Child) -> None:
        """A worker has ended."""
        if child.end == "died" and self._parents.get(child) is self._template:
            self._is_worn = True

    def reaped(self, child: Child) -> None:
        template = self._parents.pop(child, None)
        if template is not None and template is not self._template and template not in self._parents.values():
            template.close()

    async def aclose(self) -> None:
        """Call it after all workers have ended."""
        unreaped = tuple(self._unreaped)
        for template in unreaped:
            template.close()
        for template in unreaped:
            await template.reaped()

    async def _current(self) -> Template | None:
        """The template for the next order, a new one if need be; None: exec serves."""
        if not self._has_template or not self._is_due():
            return self._template
        try:
            fresh = await start_template(self._config)
        except CannotStartWorker as error:
            logs.event("template_cannot_start", level=logs.ERROR, detail=str(error))
            self._use_exec()
            return None
        self._unreaped.add(fresh)
        fresh.on_reaped(self._unreaped.discard)
        old, self._template = self._template, fresh
        self._is_worn, self._started_at, self.is_forking = False, time.monotonic(), True
        if old is not None:
            self._replace(old)
        return fresh

    def _is_due(self) -> bool:
        template, now = self._template, time.monotonic()
        if template is None or not template.is_alive:
            self._template = None
            return now >= self._not_before
        return self._is_worn or template.forks >= MOST_FORKS or now - self._started_at >= LONGEST_LIFE_S

    def _replace(self, old: Template) -> None:
        """It lives until the last of its workers has ended, since they would end with it."""
        children = [child for child, template in self._parents.items() if template is old]
        if not children:
            old.close()
        elif old.is_alive:
            self._retire(children)

    def _give_up(self, template: Template, error: TemplateFailed) -> None:
        logs.event("template_failed", level=logs.ERROR, detail=f"the template of the workers: {error}")
        if self._template is template:
            self._template = None
            self._use_exec()
            self._replace(template)

    def _use_exec(self) -> None:
        self._not_before = time.monotonic() + RETRY_AFTER_S
        self.is_forking = False
