"""Whether the file at a destination is somebody else's, which ``if_exists`` keep leaves there until the result comes.

Called by ``placing`` and ``outbox`` under the destination's lock. A file is imgserve's if it is marked so; where files
have no marks, if its bytes are those of this output's placeholder or failure picture, or of any placeholder of the last
24 hours.
"""

from collections.abc import Callable
from functools import partial

from imgserve.engine.delivery import Keeps
from imgserve.engine.placeholder import Placeholders
from imgserve.jobs.model import Output
from imgserve.jobs.protocol import PlaceholderMemory
from imgserve.transfer.dispatch import Transfers, Write


class Existing:
    def __init__(
        self, queue: PlaceholderMemory, transfers: Transfers, placeholders: Placeholders, clock: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._placeholders = placeholders
        self._clock = clock

    async def is_foreign(self, output: Output, write: Write) -> bool:
        """Of no file: False. Raises the destination's refusal, CannotAsk."""
        destination = output.spec.placement.destination
        if destination.writing.is_marked:
            return await self._transfers.is_foreign(destination, write)
        size_bytes = await self._transfers.size_of(destination, write)
        if size_bytes is None:
            return False
        ours = await self._queue.placeholder_digests(size_bytes, self._clock()) | await self._own(output, size_bytes)
        if not ours:
            return True
        fingerprint = await self._transfers.fingerprint_of(destination, write)
        return fingerprint is None or fingerprint.digest not in ours

    async def _own(self, output: Output, size_bytes: int) -> frozenset[bytes]:
        """The digests of the output's own pictures of this size."""
        waiting = await self._placeholders.waiting(output.spec, output.principal)
        with waiting, await self._placeholders.failed(output.spec.rendering, output.principal) as failed:
            return frozenset(
                picture.fingerprint().digest for picture in (waiting, failed) if picture.size == size_bytes
            )

    def guard_of(self, output: Output) -> Keeps | None:
        """``is_foreign`` of an output that keeps what lies there; None of any other, which replaces it."""
        return partial(self.is_foreign, output) if output.spec.placement.if_exists == "keep" else None
