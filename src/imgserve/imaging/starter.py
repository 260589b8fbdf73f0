"""Starts workers: forked by a template, or by exec where there is no template. For ``stock.py``.

A template is replaced after a number of forks, after a time, and after a worker that died of itself: its children
share their layout in memory, so an attacker who guessed wrong in one must not go on guessing in the next.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from imgserve.imaging.process import CannotStartWorker, Child, WorkerOptions, start_child
from imgserve.imaging.template import Template, TemplateFailed, start_template
from imgserve.telemetry import logs

MOST_FORKS = 10_000
LONGEST_LIFE_S = 3600.0
# A template that cannot be had is not tried again at each worker: exec serves meanwhile.
RETRY_AFTER_S = 60.0


class Starter:
    """``retire`` receives the workers of a replaced template: they shall take no more pictures.

    ``is_forking``: whether the next worker will be forked, and so will share most of its memory with the others.
    """

    def __init__(
        self,
        options: WorkerOptions,
        retire: Callable[[Iterable[Child]], None],
        *,
        has_template: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wants_template = has_template
        self.is_forking = has_template
        self._options = options
        self._retire = retire
        self._clock = clock
        self._lock = asyncio.Lock()
        self._template: Template | None = None
        self._old: set[Template] = set()
        self._unreaped: set[Template] = set()
        self._parents: dict[Child, Template] = {}
        self._is_worn = False
        self._started_at = 0.0
        self._not_before = 0.0

    @property
    def template_pids(self) -> tuple[int, ...]:
        """Of the template and of those that were replaced and whose workers live."""
        templates = [self._template, *self._old]
        return tuple(template.pid for template in templates if template is not None and template.is_alive)

    async def start(self) -> Child:
        """A worker that is locked in and has seen nothing. Raises CannotStartWorker."""
        async with self._lock:
            template = await self._current()
        if template is None:
            return await start_child(self._options)
        try:
            child = await template.fork()
        except TemplateFailed as error:
            self._give_up(template, error)
            return await start_child(self._options)
        self._parents[child] = template
        return child

    def died(self, child: Child) -> None:
        """A worker has ended, or was."""
        if child.end == "died" and self._parents.get(child) is self._template:
            self._is_worn = True

    def reaped(self, child: Child) -> None:
        template = self._parents.pop(child, None)
        if template in self._old and template not in self._parents.values():
            self._old.discard(template)
            template.close()

    async def aclose(self) -> None:
        """After all workers have ended."""
        for template in self._unreaped:
            template.close()
        for template in self._unreaped:
            await template.reaped()

    async def _current(self) -> Template | None:
        """The template to order of, a new one if need be; None: exec serves."""
        if not self._wants_template or not self._is_due():
            return self._template
        try:
            fresh = await start_template(self._options)
        except CannotStartWorker as error:
            logs.event("template_cannot_start", level=logs.ERROR, detail=str(error))
            self._done_without()
            return None
        self._unreaped = {template for template in self._unreaped if not template.is_reaped} | {fresh}
        old, self._template = self._template, fresh
        self._is_worn, self._started_at, self.is_forking = False, self._clock(), True
        if old is not None and old.is_alive:
            self._replace(old)
        return fresh

    def _is_due(self) -> bool:
        template, now = self._template, self._clock()
        if template is None or not template.is_alive:
            self._template = None
            return now >= self._not_before
        return self._is_worn or template.forks >= MOST_FORKS or now - self._started_at >= LONGEST_LIFE_S

    def _replace(self, old: Template) -> None:
        """It lives on until the last of its workers has ended, for they would end with it."""
        children = [child for child, template in self._parents.items() if template is old]
        if not children:
            old.close()
            return
        self._old.add(old)
        self._retire(children)

    def _give_up(self, template: Template, error: TemplateFailed) -> None:
        logs.event("template_failed", level=logs.ERROR, detail=f"the template of the workers: {error}")
        if self._template is template:
            self._template = None
            self._done_without()
            if template.is_alive:
                self._replace(template)

    def _done_without(self) -> None:
        self._not_before = self._clock() + RETRY_AFTER_S
        self.is_forking = False
