"""The intake of one job: check -> probe -> enqueue -> placeholders -> activate -> answer.

Called by ``api`` with a checked request. Before ``enqueue`` nothing has left the machine; afterwards the job outlives
this process. A client that hangs up does not stop it.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from imgserve import failpoint
from imgserve.engine.admission import Admission
from imgserve.engine.config import IntakeConfig
from imgserve.engine.delivery import Deliveries
from imgserve.engine.existing import Existing
from imgserve.engine.keys import KeysInUse, check_repeat
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.placing import Placing
from imgserve.engine.probe import infos_of
from imgserve.engine.resolve import Resolver
from imgserve.engine.webhooks import DefaultWebhooks
from imgserve.errors import ImgserveError, Spelling, dotted
from imgserve.imaging.pool import Pool
from imgserve.jobs.digest import digest_of, digest_of_key
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted, Answer, Binding, Bound, NewJob, PlaceholderResult, Untouched
from imgserve.jobs.persist import PatientStorage, until_stored
from imgserve.jobs.protocol import IntakeQueue
from imgserve.request.faults import beneath
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest, ResolvedOutput, check_shape, trial_places
from imgserve.request.limits import Limits
from imgserve.request.presigned import earliest_expiry
from imgserve.request.principal import Principal
from imgserve.telemetry import logs, metrics, tracing
from imgserve.telemetry.stage import stage
from imgserve.telemetry.states import State
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store

T = TypeVar("T")
_ID_BYTES = 16


class Draining(ImgserveError):
    code = "draining"
    status = 503
    is_retryable = True
    title = "The server is stopping"


class _Draft(NamedTuple):
    """A job that is not stored yet. ``held`` closes the download, unless somebody else takes it over."""

    job: NewJob
    fetch: Fetch
    held: ExitStack

    def take_fetch(self) -> Fetch:
        self.held.pop_all()
        return self.fetch


class Intake:
    """``prefetched`` gets the downloads that probes started, for the attempts to finish.

    ``clock`` is the queue's, ``wall_clock`` that of clients; ``wall_of`` converts a time of the first one.
    """

    def __init__(
        self,
        queue: IntakeQueue,
        transfers: Transfers,
        pool: Pool,
        placeholders: Placeholders,
        deliveries: Deliveries,
        prefetched: Store[Fetch],
        admission: Admission,
        limits: Limits,
        config: IntakeConfig,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: os.urandom(_ID_BYTES).hex(),
        spelling: Spelling = dotted,
        named: NamedPictures | None = None,
        wall_clock: Callable[[], float] = time.time,
        webhooks: DefaultWebhooks | None = None,
        wall_of: Callable[[float], float] = float,
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._pool = pool
        self._prefetched = prefetched
        self._config = config
        self._clock = clock
        self._wall_clock = wall_clock
        self._wall_of = wall_of
        self._new_id = new_id
        self._resolver = Resolver(transfers, limits, config.defaults(), NamedPictures() if named is None else named)
        self._admission = admission
        self._webhooks = DefaultWebhooks() if webhooks is None else webhooks
        self._keys = KeysInUse()
        self._under_way: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}
        self._storage = PatientStorage(queue, config.storage_timeout_s, clock, spelling)
        existing = Existing(queue, transfers, placeholders, clock)
        self._placing = Placing(self._storage, placeholders, deliveries, existing, config.placeholder_timeout_s)
        self.is_draining = False

    async def accept(self, request: JobRequest, principal: Principal, traceparent: str = "") -> Answer:
        """``traceparent`` is the client's, if it traces. Raises ImgserveError."""
        return await self._shielded(self._traced(self._accept, request, principal, traceparent))

    async def accept_once(
        self, request: JobRequest, principal: Principal, binding: Binding, traceparent: str = ""
    ) -> Answer | Bound:
        """Of a request with an Idempotency-Key; Bound: its key has a job already.

        Raises ImgserveError, as the key's second request for another job does.
        """
        once = partial(self._accept_once, binding)
        return await self._shielded(self._traced(once, request, principal, traceparent))

    async def _shielded(self, accepting: Coroutine[Any, Any, T]) -> T:
        if self.is_draining:
            accepting.close()
            raise self.draining()
        task = asyncio.create_task(accepting)
        self._under_way[task] = answer = asyncio.shield(task)
        task.add_done_callback(self._ended)
        try:
            return await answer
        except asyncio.CancelledError:
            if self.is_draining:  # see refuse_open
                raise self.draining() from None
            raise

    async def preview(self, request: JobRequest, principal: Principal, binding: Binding | None = None) -> NewJob:
        """The job that this request would become, by the wall clock. Stores and sends nothing.

        Raises as ``accept``, with a binding as ``accept_once``.
        """
        if self.is_draining:
            raise self.draining()
        with stage("intake", is_outer=True):
            if binding is not None:
                async with self._keys.held(principal.id, binding.key):
                    await self._bound(principal, binding)
            async with self._resolved(self._new_id(), request, principal, binding) as draft:
                return draft.job

    async def check(self, request: JobRequest, principal: Principal, key: str | None) -> None:
        """Judge all that can be judged before the request's picture is received. ``key``: its Idempotency-Key.

        Raises as ``accept``.
        """
        if self.is_draining:
            raise self.draining()
        check_shape(request)
        self._resolver.check(request, trial_places(request), principal.id)
        if key is not None and await self._queue.binding_of(principal.id, key, self._clock()) is not None:
            return  # a repeat takes no room
        digest = b"" if key is None else digest_of_key(principal.id, key)
        self._queue.check_room(principal.id, digest, self._clock(), has_quota=principal.has_quota)

    @property
    def under_way(self) -> int:
        """The number of open requests."""
        return len(self._under_way)

    def states(self) -> Iterator[State]:
        if self.is_draining:
            yield State("draining")

    def draining(self) -> Draining:
        return Draining("the server is stopping", "send the request again in a moment")

    async def drain(self) -> None:
        """Accept no more; return when all open requests have been answered."""
        self.is_draining = True
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    def refuse_open(self) -> None:
        """Answer the open requests with Draining. One that is repeated after the next start finds its job, if any."""
        for answer in self._under_way.values():
            answer.cancel()

    async def answered(self, number: int) -> None:
        """The reply is on its way. If that cannot be stored, an equal request may get this job once more."""
        try:
            await self._queue.answered(number)
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.pop(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the client may have hung up

    async def _traced(
        self,
        accept: Callable[[str, JobRequest, Principal], Awaitable[T]],
        request: JobRequest,
        principal: Principal,
        traceparent: str,
    ) -> T:
        job_id = self._new_id()
        logs.job.set(job_id)
        with stage("intake", parent=traceparent, is_outer=True):
            return await accept(job_id, request, principal)

    async def _accept_once(
        self, binding: Binding, job_id: str, request: JobRequest, principal: Principal
    ) -> Answer | Bound:
        async with self._keys.held(principal.id, binding.key):
            bound = await self._bound(principal, binding)
            if bound is None:
                return await self._accept(job_id, request, principal, binding)
        logs.event("adopted", as_job=bound.job_id)
        metrics.POSTS.labels("adopted", "").inc()
        return bound

    async def _bound(self, principal: Principal, binding: Binding) -> Bound | None:
        """The key's job, if it has one. Raises as ``check_repeat``."""
        bound = await self._queue.binding_of(principal.id, binding.key, self._clock())
        if bound is not None:
            check_repeat(bound, binding)
        return bound

    async def _accept(
        self, job_id: str, request: JobRequest, principal: Principal, binding: Binding | None = None
    ) -> Answer:
        came_at = time.perf_counter()
        async with self._resolved(job_id, request, principal, binding) as draft:
            job = self._by_queue_time(draft.job)
            entry = await self._storage.enqueue(job)
            failpoint.reach("intake_enqueued")
            if isinstance(entry, Answer):
                logs.event("adopted", as_job=entry.id)
                metrics.POSTS.labels("adopted", "").inc()
                return entry
            states = await self._placing.put_all(entry)
            if states:
                metrics.placeholders_out(time.perf_counter() - came_at)
            if draft.job.not_before is None:  # else the source may change meanwhile
                fetch, group = draft.take_fetch(), _destinations(draft.job.outputs)
                self._prefetched.keep(entry.number, fetch, fetch.reserved_bytes, group)
            is_untouched = await until_stored(lambda: self._queue.activate(entry.number, states, self._clock()))
            failpoint.reach("intake_released")
        metrics.job_accepted()
        logs.event("accepted", number=entry.number, principal=principal.name, ms=(time.perf_counter() - came_at) * 1000)
        untouched = self._untouched(job, entry, states) if is_untouched else None
        return Answer(entry.number, entry.id, job.outputs, untouched)

    def _untouched(self, job: NewJob, entry: Accepted, states: tuple[PlaceholderResult, ...]) -> Untouched:
        known = {result.output_id: result.state for result in states}
        return Untouched(
            job,
            self._wall_of(entry.created_at),
            self._wall_of(entry.due_at),
            self._wall_of(entry.due_at + job.deadline_s),
            None if job.not_before is None else self._wall_of(job.not_before),
            tuple(known.get(output.id, output.placeholder) for output in entry.outputs),
        )

    @contextlib.asynccontextmanager
    async def _resolved(
        self, job_id: str, request: JobRequest, principal: Principal, binding: Binding | None
    ) -> AsyncIterator[_Draft]:
        """Hold a slot of intake, and the download of the source as far as its header. Nothing is stored or sent."""
        check_shape(request)
        places = trial_places(request)
        origins = {place.origin for place in places if place.host}
        digest = digest_of(principal.id, request) if binding is None else digest_of_key(principal.id, binding.key)

        def check_queue() -> None:
            self._queue.check_room(principal.id, digest, self._clock(), has_quota=principal.has_quota)

        webhook = request.webhook or self._webhooks.of(principal.id)
        async with self._admission.slot(principal, request.source.origin, origins, check_queue) as source_is_read:
            self._resolver.check(request, places, principal.id)
            with ExitStack() as held:
                fetch = held.enter_context(self._transfers.open(request.source, principal=principal.id))
                with stage("probe"):
                    infos = await self._infos_of(fetch, request, principal)
                source_is_read()
                failpoint.reach("intake_probed")
                outputs = await self._resolver.resolve(request, infos, job_id, principal.id)
                job = NewJob(
                    job_id, digest, request.source, infos[0], outputs, self._deadline_s(request, outputs),
                    tracing.traceparent(),
                    principal.id, principal.has_quota, request.protocol, request.priority,
                    self._still_ahead(request.not_before), request.metadata, binding, fetch.size_bytes,
                    webhook,
                )  # fmt: skip
                yield _Draft(job, fetch, held)

    def _deadline_s(self, request: JobRequest, outputs: Iterable[ResolvedOutput]) -> float:
        """The job's own, or the setting's; less if a presigned URL of a destination expires before."""
        deadline_s = self._config.deadline_s if request.deadline_s is None else request.deadline_s
        expires_at = earliest_expiry(output.placement.destination.url for output in outputs)
        if expires_at is None:
            return deadline_s
        begins_at = max(self._wall_clock(), request.not_before or 0.0)
        return min(deadline_s, max(expires_at - begins_at, 0.0))

    def _still_ahead(self, instant: float | None) -> float | None:
        return instant if instant is not None and instant > self._wall_clock() else None

    def _by_queue_time(self, job: NewJob) -> NewJob:
        """A job whose times are the wall clock's, with times of the queue's own."""
        if job.not_before is None:
            return job
        return replace(job, not_before=self._clock() + job.not_before - self._wall_clock())

    async def _infos_of(self, fetch: Fetch, request: JobRequest, principal: Principal) -> tuple[ImageInfo, ...]:
        recipes = [output.recipe for output in request.outputs]
        with beneath("outputs"):
            return await infos_of(fetch, recipes, self._pool, principal.id)


def _destinations(outputs: tuple[ResolvedOutput, ...]) -> str:
    """The job's destinations. A newer job for the same ones supersedes it, and the source is needed no more."""
    return " ".join(sorted(output.placement.destination.key for output in outputs))
