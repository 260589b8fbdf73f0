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

    def check(self, source: Source, places: Iterable[Destination]) -> None:
        """Judge the URLs' text by policy; addresses are judged when they are connected to. Raises RequestInvalid."""
        found = Findings()
        try:
            self._transfers.check_source(source)
        except SourceRefused as error:
            found.add(Fault("source_refused", ("source",), error.sentence()))
        for index, place in enumerate(places):
            try:
                self._transfers.check_destination(place)
            except DestinationRefused as error:
                found.add(Fault("destination_refused", ("outputs", index, "destination"), error.sentence()))
        found.settle()

    async def resolve(self, request: JobRequest, facts: Facts) -> tuple[FixedOutput, ...]:
        """Raises DestinationRefused, RequestInvalid where two outputs have one place, and all that ``fix`` raises."""
        found = Findings()
        fixed = (
            found.attempt(("outputs", index), self._fix, output, request.source, facts)
            for index, output in enumerate(request.outputs)
        )
        outputs = tuple(output for output in fixed if output is not None)
        found.settle()
        placed = tuple([await self._placed(request.source, output) for output in outputs])
        check_places(placed)
        return placed

    def _fix(self, output: OutputRequest, source: Source, facts: Facts) -> FixedOutput:
        """The output without open ends; the quality too is settled here, so that a later setting changes no job."""
        fixed = fix(output, source, facts, self._limits)
        options = fixed.recipe.output
        quality = self._quality.get(options.format) if options.format and options.quality is None else options.quality
        recipe = msgspec.structs.replace(fixed.recipe, output=msgspec.structs.replace(options, quality=quality))
        return msgspec.structs.replace(fixed, recipe=recipe)

    async def _placed(self, source: Source, output: FixedOutput) -> FixedOutput:
        """The output with its place judged, now that all tags are filled in, and resolved."""
        self._transfers.check_destination(output.destination)
        if await self._transfers.is_same_place(source, output.destination):
            raise DestinationRefused("names the source itself, expected another place")
        return msgspec.structs.replace(output, destination=await self._transfers.resolved(output.destination))
