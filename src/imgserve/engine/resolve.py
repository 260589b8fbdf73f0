"""Judges a request by policy, and resolves size, format, quality and place of each output.

Called by ``intake``. In: a checked request and its source's ``Facts``. Out: outputs without open ends.
"""

from collections.abc import Iterable, Mapping

import msgspec

from imgserve.request.destination import Destination
from imgserve.request.faults import Fault, Findings
from imgserve.request.imageinfo import Facts
from imgserve.request.job import FixedOutput, JobRequest, OutputRequest, check_places, fix
from imgserve.request.limits import Limits
from imgserve.request.recipe import Format
from imgserve.request.source import Source
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DestinationRefused, SourceRefused


class Resolver:
    """``quality`` is for results whose job names none."""

    def __init__(self, transfers: Transfers, limits: Limits, quality: Mapping[Format, int]) -> None:
        self._transfers = transfers
        self._limits = limits
        self._quality = quality

    def check(self, request: JobRequest, places: Iterable[Destination]) -> None:
        """Judge source and destinations by policy before anything is read. Raises RequestInvalid.

        Addresses are judged when they are connected to, a path that awaits the result's size in ``resolve``.
        """
        found = Findings()
        try:
            self._transfers.check_source(request.source)
        except SourceRefused as error:
            found.add(Fault("source_refused", ("source",), error.sentence()))
        for index, (output, place) in enumerate(zip(request.outputs, places, strict=True)):
            if output.destination.awaits_size:
                continue
            try:
                self._transfers.check_destination(place)
            except DestinationRefused as error:
                found.add(_refused(index, error))
        found.settle()

    async def resolve(self, request: JobRequest, facts: Facts) -> tuple[FixedOutput, ...]:
        """Raises RequestInvalid: a place is refused, or two outputs have the same; and all that ``fix`` raises."""
        found = Findings()
        placed = []
        for index, output in enumerate(request.outputs):
            fixed = found.attempt(("outputs", index), self._fix, output, request.source, facts)
            try:
                placed += [] if fixed is None else [await self._placed(request.source, fixed)]
            except DestinationRefused as error:
                found.add(_refused(index, error))
        found.settle()
        check_places(tuple(placed))
        return tuple(placed)

    def _fix(self, output: OutputRequest, source: Source, facts: Facts) -> FixedOutput:
        """The output without open ends; the quality too is settled here, so that a later setting changes no job."""
        fixed = fix(output, source, facts, self._limits)
        options = fixed.recipe.output
        quality = self._quality.get(options.format) if options.format and options.quality is None else options.quality
        recipe = msgspec.structs.replace(fixed.recipe, output=msgspec.structs.replace(options, quality=quality))
        return msgspec.structs.replace(fixed, recipe=recipe)

    async def _placed(self, source: Source, output: FixedOutput) -> FixedOutput:
        """The output with its place resolved, which judges a file's path."""
        if await self._transfers.is_same_place(source, output.destination):
            raise DestinationRefused("names the source itself, expected another place")
        return msgspec.structs.replace(output, destination=await self._transfers.resolved(output.destination))


def _refused(index: int, error: DestinationRefused) -> Fault:
    return Fault("destination_refused", ("outputs", index, "destination"), error.sentence())
