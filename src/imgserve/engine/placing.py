"""Writes the placeholders of a job that comes in, side by side: all or nothing, as long as no reply is sent.

Called by ``intake`` with a stored job. A destination that refuses its placeholder refuses the job; an unknown outcome
refuses nothing.
"""

import asyncio
from collections.abc import Sequence

from imgserve.engine.delivery import ClaimLost, Deliveries, Kept, Overtaken
from imgserve.engine.existing import Existing
from imgserve.engine.placeholder import Placeholders
from imgserve.errors import ImgserveError
from imgserve.jobs.model import Accepted, Output, PlaceholderResult
from imgserve.jobs.persist import PatientStorage
from imgserve.request.faults import DESTINATION
from imgserve.transfer.faults import DeliveryUnknown, NewerThere, TransferError


class Placing:
    """``timeout_s`` limits each write, with the look at what lies there where that may have to stay."""

    def __init__(
        self,
        storage: PatientStorage,
        placeholders: Placeholders,
        deliveries: Deliveries,
        existing: Existing,
        timeout_s: float,
    ) -> None:
        self._storage = storage
        self._placeholders = placeholders
        self._deliveries = deliveries
        self._existing = existing
        self._timeout_s = timeout_s

    async def put_all(self, entry: Accepted) -> tuple[PlaceholderResult, ...]:
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
        keeps = self._existing.guard_of(output)
        timeout_s = self._timeout_s if keeps is None else self._timeout_s / 2
        with await self._placeholders.waiting(output.spec, output.principal) as picture:
            fingerprint = picture.fingerprint()
            await self._storage.note_placeholder(fingerprint.digest, fingerprint.size_bytes)
            try:
                delivery = await self._deliveries.write(
                    output, "placeholder", 0, picture, timeout_s, is_held=is_held, keeps=keeps
                )
            except DeliveryUnknown:
                return PlaceholderResult(output.id, "unknown")
            except Kept:
                return PlaceholderResult(output.id, "kept")
            except (Overtaken, ClaimLost, NewerThere):
                return PlaceholderResult(output.id, "none")
        is_verified = output.spec.placement.destination.writing.verifies
        return PlaceholderResult(output.id, "written", fingerprint if is_verified else None, delivery.etag or None)


def _refusal(refusals: Sequence[tuple[int, ImgserveError]]) -> ImgserveError:
    """The first of the refusals by output, which names the others of its kind."""
    for index, error in refusals:
        if isinstance(error, TransferError) and error.status < 500:
            error.path = DESTINATION.path
        error.beneath(("outputs", index))
    first = refusals[0][1]
    first.others = tuple(error for _, error in refusals[1:] if error.status == first.status)
    return first
