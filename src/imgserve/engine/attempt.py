"""One attempt of one job: fetch the source once, render each output, deliver it.

In: a claim. Out: the settlement that the runner stores. A finished output releases its destination at once when others
of the job are still under way.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from msgspec.structs import replace

from imgserve.blob import Blob
from imgserve.engine.config import AttemptConfig
from imgserve.engine.delivery import ClaimLost, Deliveries, Overtaken, Underway
from imgserve.engine.pictures import Inputs, Pictures
from imgserve.engine.render import Renderer, Rendition
from imgserve.errors import FEW_ATTEMPTS, ImgserveError, Spelling, dotted, spell
from imgserve.jobs.model import Claim, Output, OutputResult, ResultStatus, Settlement
from imgserve.jobs.persist import until_stored
from imgserve.jobs.protocol import RunnerQueue
from imgserve.jobs.retry import Retry, decide
from imgserve.request.recipe import Recipe
from imgserve.request.warning import OutputWarning
from imgserve.telemetry import logs
from imgserve.transfer.digest import sha256_of
from imgserve.transfer.faults import NewerThere
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store

QUARANTINE_AFTER_CRASHES = 2


class SourceIsPlaceholder(ImgserveError):
    code = "source_is_placeholder"
    is_retryable = True
    title = "The source is a placeholder of imgserve's"


class AttemptTimeout(ImgserveError):
    """Fetches and deliveries have shorter time-outs of their own, so it is the renders that took too long."""

    code = "attempt_timeout"
    is_retryable = True
    max_attempts = FEW_ATTEMPTS
    title = "The attempt took too long"


class AttemptBug(ImgserveError):
    is_retryable = True
    max_attempts = FEW_ATTEMPTS


class _End(NamedTuple):
    """Of one output's attempt. ``warnings`` of its picture; None if the attempt had none."""

    outcome: OutputResult | ImgserveError
    warnings: tuple[OutputWarning, ...] | None = None


class Attempts:
    """Runs attempts. ``prefetched`` has the downloads that intake's probes started, by job number; ``renditions`` the
    undelivered results, by output. ``classic_spelling`` is that of the fields of an output with this recipe, in stored
    errors of classic jobs.
    """

    def __init__(
        self,
        queue: RunnerQueue,
        renderer: Renderer,
        deliveries: Deliveries,
        prefetched: Store[Fetch],
        renditions: Store[Rendition],
        config: AttemptConfig,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        classic_spelling: Callable[[Recipe], Spelling] = lambda _recipe: dotted,
    ) -> None:
        self._queue = queue
        self._renderer = renderer
        self._deliveries = deliveries
        self._prefetched = prefetched
        self._config = config
        self._clock = clock
        self._jitter = jitter
        self._classic_spelling = classic_spelling
        self._renditions = renditions
        self.finals = Underway()

    async def run(self, claim: Claim) -> Settlement:
        """Raises ClaimLost. The destinations are still held then, until the claim is settled."""
        with ExitStack() as held:
            kept = [self._renditions.take(output.id) for output in claim.outputs]
            for rendition in filter(None, kept):
                held.enter_context(rendition)
            inputs: list[Inputs | ImgserveError | None] = [None] * len(kept)
            if None in kept:
                open_outputs = [output for output, rendition in zip(claim.outputs, kept, strict=True) if not rendition]
                try:
                    pictures = held.enter_context(await self._pictures(claim, open_outputs))
                except ImgserveError as error:
                    return self.failed(claim, error)
                # Handles for each output: a delivery that takes long must not keep the source's memory.
                for index, output in enumerate(claim.outputs):
                    inputs[index] = None if kept[index] else _inputs(pictures, output)
                for of_output in inputs:
                    if isinstance(of_output, Inputs):
                        held.enter_context(of_output)
                pictures.close()
            batch = self._renderer.new_batch(len(inputs) - inputs.count(None))
            of_outputs = zip(claim.outputs, inputs, kept, strict=True)
            ends = await _side_by_side([self._end(claim, batch, *of_output) for of_output in of_outputs])
        for end in ends:
            if isinstance(end.outcome, ClaimLost):
                raise end.outcome
        return self._settlement(claim, ends)

    def failed(self, claim: Claim, error: ImgserveError) -> Settlement:
        """The settlement of an attempt that failed for all its outputs with ``error``."""
        return self._settlement(claim, [_End(error)] * len(claim.outputs))

    async def _pictures(self, claim: Claim, outputs: Sequence[Output]) -> Pictures:
        recipes = [output.spec.rendering.recipe for output in outputs]
        prefetched = self._prefetched.take(claim.number)
        pictures = await self._renderer.pictures(claim.source, recipes, claim.principal, prefetched)
        try:
            await self._check_no_placeholder(pictures.source)
            for image, picture in pictures.further.items():
                if isinstance(picture, Blob) and image.url:
                    try:
                        await self._check_no_placeholder(picture)
                    except SourceIsPlaceholder as error:
                        picture.close()
                        pictures.further[image] = error
        except BaseException:
            pictures.close()
            raise
        return pictures

    async def _check_no_placeholder(self, blob: Blob) -> None:
        """Raises SourceIsPlaceholder."""
        digests = await self._queue.placeholder_digests(blob.size, self._clock())
        if digests and blob.fingerprint().digest in digests:
            raise SourceIsPlaceholder("the source is still a placeholder of imgserve's own")

    async def _end(
        self, claim: Claim, batch: int, output: Output, inputs: Inputs | ImgserveError | None, kept: Rendition | None
    ) -> _End:
        """An error is a value here, because the job's other outputs go on."""
        error: ImgserveError | None = None
        warnings: tuple[OutputWarning, ...] | None = None
        try:
            with await self._rendition(claim, batch, output, inputs, kept) as rendition:
                warnings = rendition.warnings
                _log(output, warnings)
                result = await self._deliver(claim, output, rendition)
        except (Overtaken, NewerThere):
            result = OutputResult(output.id, "superseded")
        except ImgserveError as caught:
            error, result = caught, OutputResult(output.id, "retry")
        if len(claim.outputs) > 1:
            done = Settlement(claim.number, claim.token, (replace(result, warnings=warnings),))
            await until_stored(lambda: self._queue.record(done, self._clock()))
        return _End(error or result, warnings)

    async def _rendition(
        self, claim: Claim, batch: int, output: Output, inputs: Inputs | ImgserveError | None, kept: Rendition | None
    ) -> Rendition:
        """``kept``, or ``inputs`` rendered. Raises their error."""
        if isinstance(inputs, ImgserveError):
            raise inputs
        if inputs is not None:
            is_alone = output.crashes >= QUARANTINE_AFTER_CRASHES
            with inputs:
                kept = await self._renderer.rendition(
                    inputs.source,
                    claim.info,
                    output.spec.rendering,
                    inputs.further,
                    is_alone=is_alone,
                    principal=claim.principal,
                    batch=batch,
                )
        assert kept is not None
        return kept

    async def _deliver(self, claim: Claim, output: Output, rendition: Rendition) -> OutputResult:
        blob = rendition.blob
        place, timeout_s = output.spec.placement.destination, self._config.delivery_timeout_s
        may_come_later = place.writing.is_repeatable and not place.writing.keeps_order
        needs_repeat = output.placeholder == "unknown" and may_come_later and not output.is_repeat
        try:
            with self.finals.to(place.origin):
                delivery = await self._deliveries.write(output, "final", claim.token, blob, timeout_s)
        except ImgserveError:
            self._renditions.keep(output.id, rendition.share(), blob.size)
            raise
        logs.event("delivered", level=logs.DEBUG, output=output.id, bytes=blob.size, is_verified=delivery.is_verified)
        if needs_repeat:
            self._renditions.keep(output.id, rendition.share(), blob.size)
        status: ResultStatus = "repeat" if needs_repeat else "delivered"
        return OutputResult(output.id, status, size_bytes=blob.size, sha256=await sha256_of(blob))

    def _settlement(self, claim: Claim, ends: Sequence[_End]) -> Settlement:
        """Outputs with equal delays get the same due time, so that one download serves them again."""
        now, jitter = self._clock(), self._jitter()
        results = (
            replace(self._result(claim, output, end.outcome, now, jitter), warnings=end.warnings)
            for output, end in zip(claim.outputs, ends, strict=True)
        )
        return Settlement(claim.number, claim.token, tuple(results))

    def _result(
        self, claim: Claim, output: Output, end: ImgserveError | OutputResult, now: float, jitter: float
    ) -> OutputResult:
        """The result to store for one output: it ended, or is tried again."""
        if isinstance(end, OutputResult):
            due_at = now + self._config.repeat_after_s if end.status == "repeat" else None
            return replace(end, due_at=due_at)
        spelling = dotted if claim.protocol == "v1" else self._classic_spelling(output.spec.rendering.recipe)
        detail, hint = end.located(spelling), spell(end.hint, spelling)
        decision = decide(
            end,
            attempts=output.attempts,
            crashes=output.crashes,
            left_s=claim.deadline_at - now,
            jitter=jitter,
            first_delay_s=self._config.retry_delay_s,
        )
        if isinstance(decision, Retry):
            due_at = now + decision.delay_s
            return OutputResult(
                output.id, "retry", decision.charge, due_at, end.code, detail, hint=hint, is_retryable=True
            )
        if output.is_repeat:
            return OutputResult(output.id, "delivered")  # the destination took the final before
        self._renditions.drop(output.id)
        return OutputResult(
            output.id, "failed", decision.charge, None, decision.error, detail, hint=hint, is_retryable=end.is_retryable
        )


async def _side_by_side(attempts: Sequence[Coroutine[None, None, _End]]) -> list[_End]:
    """The ends of the outputs' attempts, of which one alone needs no task of its own."""
    if len(attempts) == 1:
        return [await attempts[0]]
    async with asyncio.TaskGroup() as group:  # a bug in one must not leave the others writing
        tasks = [group.create_task(attempt) for attempt in attempts]
    return [task.result() for task in tasks]


def _log(output: Output, warnings: Sequence[OutputWarning]) -> None:
    for warning in warnings:
        logs.event("warned", level=logs.WARNING, output=output.id, code=warning.code, detail=warning.detail)


def _inputs(pictures: Pictures, output: Output) -> Inputs | ImgserveError:
    """The output's own handles, or the error of a picture that it draws."""
    try:
        return pictures.of(output.spec.rendering.recipe)
    except ImgserveError as error:
        return error
