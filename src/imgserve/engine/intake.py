"""The intake of one job: check -> probe -> enqueue -> placeholders -> activate -> answer.

Called by ``api`` with a checked request. Before ``enqueue`` nothing has left the machine; afterwards the job outlives
this process. A client that hangs up does not stop it.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from imgserve import failpoint
from imgserve.engine.admission import Admission
from imgserve.engine.config import IntakeConfig
from imgserve.engine.delivery import ClaimLost, Deliveries, Overtaken
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.probe import infos_of
from imgserve.engine.resolve import Resolver
from imgserve.errors import ImgserveError, Spelling, dotted
from imgserve.imaging.pool import Pool
from imgserve.jobs.digest import digest_of
from imgserve.jobs.model import Accepted, Answer, NewJob, Output, PlaceholderResult
from imgserve.jobs.persist import PatientStorage, until_stored
from imgserve.jobs.protocol import IntakeQueue
from imgserve.request import tags
from imgserve.request.faults import DESTINATION, beneath
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest, ResolvedOutput, check_shape
from imgserve.request.limits import Limits
from imgserve.request.principal import Principal
from imgserve.telemetry import logs, metrics, tracing
from imgserve.telemetry.stage import stage
from imgserve.telemetry.states import State
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryUnknown, TransferError
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store


class Draining(ImgserveError):
    code = "draining"
    status = 503
    is_retryable = True
    title = "The server is stopping"


class Intake:
    """``prefetched`` gets the downloads that probes started, for the attempts to finish."""

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
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        spelling: Spelling = dotted,
        named: NamedPictures | None = None,
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._pool = pool
        self._placeholders = placeholders
        self._deliveries = deliveries
        self._prefetched = prefetched
        self._config = config
        self._clock = clock
        self._new_id = new_id
        self._resolver = Resolver(transfers, limits, config.qualities(), NamedPictures() if named is None else named)
        self._admission = admission
        self._under_way: dict[asyncio.Task[Answer], asyncio.Future[Answer]] = {}
        self._storage = PatientStorage(queue, config.storage_timeout_s, clock, spelling)
        self.is_draining = False

    async def accept(self, request: JobRequest, principal: Principal, traceparent: str = "") -> Answer:
        """``traceparent`` is the client's, if it traces. Raises ImgserveError."""
        if self.is_draining:
            raise self.draining()
        task = asyncio.create_task(self._traced(request, principal, traceparent))
        self._under_way[task] = answer = asyncio.shield(task)
        task.add_done_callback(self._ended)
        try:
            return await answer
        except asyncio.CancelledError:
            if self.is_draining:  # see refuse_open
                raise self.draining() from None
            raise

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
        await self._queue.answered(number)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._under_way.pop(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the client may have hung up

    async def _traced(self, request: JobRequest, principal: Principal, traceparent: str) -> Answer:
        job_id = self._new_id()
        logs.job.set(job_id)
        with stage("intake", parent=traceparent, is_outer=True):
            return await self._accept(job_id, request, principal)

    async def _accept(self, job_id: str, request: JobRequest, principal: Principal) -> Answer:
        came_at = time.perf_counter()
        check_shape(request)
        trial = tags.trial_of(request.source)
        places = [output.destination.fill(trial) for output in request.outputs]
        origins = {place.origin for place in places if place.host}
        digest = digest_of(principal.id, request)

        def check_queue() -> None:
            self._queue.check_room(principal.id, digest, self._clock(), has_quota=principal.has_quota)

        async with self._admission.slot(principal, request.source.origin, origins, check_queue) as source_is_read:
            self._resolver.check(request, places)
            with ExitStack() as held:
                fetch = held.enter_context(self._transfers.open(request.source))
                with stage("probe"):
                    infos = await self._infos_of(fetch, request, principal)
                source_is_read()
                failpoint.reach("intake_probed")
                outputs = await self._resolver.resolve(request, infos)
                entry = await self._storage.enqueue(
                    NewJob(
                        job_id, digest, request.source, infos[0], outputs, self._config.deadline_s,
                        tracing.traceparent(), principal.id, principal.has_quota,
                    )
                )  # fmt: skip
                failpoint.reach("intake_enqueued")
                if isinstance(entry, Answer):
                    logs.event("adopted", as_job=entry.id)
                    metrics.POSTS.labels("adopted", "").inc()
                    return entry
                states = await self._put_placeholders(entry)
                if states:
                    metrics.PLACEHOLDER_SECONDS.observe(time.perf_counter() - came_at)
                held.pop_all()
                self._prefetched.keep(entry.number, fetch, fetch.reserved_bytes, _destinations(outputs))
            await until_stored(lambda: self._queue.activate(entry.number, states, self._clock()))
            failpoint.reach("intake_released")
        metrics.POSTS.labels("accepted", "").inc()
        logs.event("accepted", number=entry.number, principal=principal.name, ms=(time.perf_counter() - came_at) * 1000)
        return Answer(entry.number, entry.id, outputs)

    async def _infos_of(self, fetch: Fetch, request: JobRequest, principal: Principal) -> tuple[ImageInfo, ...]:
        recipes = [output.recipe for output in request.outputs]
        with beneath("outputs"):
            return await infos_of(fetch, recipes, self._pool, principal.id)

    async def _put_placeholders(self, entry: Accepted) -> tuple[PlaceholderResult, ...]:
        """Write all placeholders. A refusal by one destination refuses the job; the outbox removes the others."""
        pending = [(index, output) for index, output in enumerate(entry.outputs) if output.placeholder == "pending"]
        puts = (self._put(output, is_held=output.id in entry.held_ids) for _, output in pending)
        ends = await asyncio.gather(*puts, return_exceptions=True)
        states: list[PlaceholderResult] = []
        refusals: list[tuple[int, ImgserveError]] = []
        bugs: list[BaseException] = []
        for (index, output), end in zip(pending, ends, strict=True):
            if isinstance(end, PlaceholderResult):
                states.append(end)
            elif isinstance(end, ImgserveError):
                refusals.append((index, end))
            else:
                bugs.append(end)
                states.append(PlaceholderResult(output.id, "unknown"))
        if bugs and not refusals:
            await self._storage.refuse(entry, tuple(states), None)
            raise bugs[0]
        if not refusals:
            return tuple(states)
        # The request's own fault comes before the server's trouble.
        refusals.sort(key=lambda pair: pair[1].status)
        await self._storage.refuse(entry, tuple(states), refusals[0][1])
        raise _refusal(refusals)

    async def _put(self, output: Output, *, is_held: bool) -> PlaceholderResult:
        """Raises the destination's refusal."""
        timeout_s = self._config.placeholder_timeout_s
        with await self._placeholders.waiting(output.spec, output.principal) as picture:
            fingerprint = picture.fingerprint()
            await self._storage.note_placeholder(fingerprint.digest, fingerprint.size_bytes)
            try:
                await self._deliveries.write(output, "placeholder", 0, picture, timeout_s, is_held=is_held)
            except DeliveryUnknown:
                return PlaceholderResult(output.id, "unknown")
            except (Overtaken, ClaimLost):
                return PlaceholderResult(output.id, "none")
        is_verified = output.spec.placement.destination.writing.verifies
        return PlaceholderResult(output.id, "written", fingerprint if is_verified else None)


def _refusal(refusals: Sequence[tuple[int, ImgserveError]]) -> ImgserveError:
    """The first of the refusals by output, which names the others of its kind."""
    for index, error in refusals:
        if isinstance(error, TransferError) and error.status < 500:
            error.path = DESTINATION.path
        error.beneath(("outputs", index))
    first = refusals[0][1]
    first.others = tuple(error for _, error in refusals[1:] if error.status == first.status)
    return first


def _destinations(outputs: tuple[ResolvedOutput, ...]) -> str:
    """The job's destinations. A newer job for the same ones supersedes it, and the source is needed no more."""
    return " ".join(sorted(output.placement.destination.key for output in outputs))
