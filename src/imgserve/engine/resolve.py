"""Judges a request by policy, and resolves size, format, quality and place of each output.

Called by ``intake``. In: a checked request, and the ``ImageInfo`` of what each output takes of the source. Out: outputs
without open ends.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from imgserve.engine import pictures
from imgserve.engine.pictures import NamedPictures
from imgserve.request.destination import Destination
from imgserve.request.encode import Encode, Format, ignored_fields
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.imageref import ImageRef
from imgserve.request.job import JobRequest, ResolvedOutput, check_places, resolve
from imgserve.request.limits import Limits
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DestinationRefused, SourceRefused


class Resolver:
    """``quality`` is for results whose job names none; ``named`` are the pictures of the settings."""

    def __init__(
        self, transfers: Transfers, limits: Limits, quality: Mapping[Format, int], named: NamedPictures
    ) -> None:
        self._named = named
        self._transfers = transfers
        self._limits = limits
        self._quality = quality

    def check(self, request: JobRequest, places: Iterable[Destination]) -> None:
        """Judge source, further pictures and destinations by policy before anything is read. Raises RequestInvalid.

        Addresses are judged when they are connected to, a path that awaits the result's size in ``resolve``.
        """
        faults = Faults()
        try:
            self._transfers.check_source(request.source)
        except SourceRefused as error:
            faults.append(Fault("source_refused", ("source",), error.sentence()))
        seen: set[ImageRef] = set()
        for index, output in enumerate(request.outputs):
            for fault in pictures.check(output.recipe, seen, self._transfers, self._named):
                faults += RequestInvalid(fault).beneath(("outputs", index)).faults
        for index, (output, place) in enumerate(zip(request.outputs, places, strict=True)):
            if output.destination.awaits_result:
                continue
            try:
                self._transfers.check_destination(place)
            except DestinationRefused as error:
                faults.append(_refused(index, error))
        faults.raise_any()

    async def resolve(self, request: JobRequest, infos: Sequence[ImageInfo], job_id: str) -> tuple[ResolvedOutput, ...]:
        """``infos``: of what each output takes of the source.

        Raises RequestInvalid: a place is refused, or two outputs have the same; and as ``job.resolve`` does.
        """
        faults = Faults()
        placed = []
        for index, (output, info) in enumerate(zip(request.outputs, infos, strict=True)):
            resolved = faults.attempt(
                ("outputs", index), resolve, output, request.source, info, self._limits, self._quality, job_id
            )
            if resolved is not None:
                log_ignored(output.recipe.encode, resolved.rendering.format, index)
            try:
                placed += [] if resolved is None else [await self._placed(request.source, resolved)]
            except DestinationRefused as error:
                faults.append(_refused(index, error))
        faults.raise_any()
        check_places(tuple(placed))
        return tuple(placed)

    async def _placed(self, source: Source, output: ResolvedOutput) -> ResolvedOutput:
        """The output with its place resolved, which judges a file's path."""
        place = output.placement.destination
        if await self._transfers.is_same_file(source, place):
            raise DestinationRefused("names the source itself, expected another place")
        placement = msgspec.structs.replace(output.placement, destination=await self._transfers.with_real_key(place))
        return msgspec.structs.replace(output, placement=placement)


def log_ignored(encode: Encode, output_format: Format, index: int = 0) -> None:
    """Log the fields that this format does not have."""
    ignored = ignored_fields(encode, output_format)
    if ignored:
        logs.event("encode_fields_ignored", output=index, format=output_format, fields=" ".join(ignored))


def _refused(index: int, error: DestinationRefused) -> Fault:
    return Fault("destination_refused", ("outputs", index, "destination"), error.sentence())
