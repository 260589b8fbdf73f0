"""Judges a request by policy, and resolves size, format, quality and place of each output.

Called by ``intake``. In: a checked request, and the ``ImageInfo`` of what each output takes of the source. Out: outputs
without open ends.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from imgserve.engine import pictures
from imgserve.engine.pictures import NamedPictures
from imgserve.errors import ImgserveError, Path
from imgserve.request.access import Access
from imgserve.request.destination import Destination
from imgserve.request.encode import Defaults, Encode, Format, ignored_fields
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.imageref import ImageRef
from imgserve.request.job import JobRequest, ResolvedOutput, check_places, resolve
from imgserve.request.limits import Limits
from imgserve.request.source import Source
from imgserve.request.webhook import Webhook
from imgserve.telemetry import logs
from imgserve.transfer.credentials import Use
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import CredentialNotAllowed, DestinationRefused, SourceRefused, WebhookRefused


class Resolver:
    """``defaults`` and ``named``, the pictures, are those of the settings the pictures of the settings."""

    def __init__(self, transfers: Transfers, limits: Limits, defaults: Defaults, named: NamedPictures) -> None:
        self._named = named
        self._transfers = transfers
        self._limits = limits
        self._defaults = defaults

    def check(self, request: JobRequest, places: Sequence[Destination], principal: str) -> None:
        """Judge source, further pictures, destinations and webhook by policy before anything is read.

        Addresses are judged when they are connected to, a path that awaits the result's size in ``resolve``.
        Raises RequestInvalid; CredentialNotAllowed if nothing else is wrong.
        """
        faults = Faults()
        try:
            self._transfers.check_source(request.source)
        except SourceRefused as error:
            faults.append(Fault("source_refused", ("source",), error.sentence()))
        seen: set[ImageRef] = set()
        denied: list[ImgserveError] = []
        for index, output in enumerate(request.outputs):
            if found := pictures.check(output.recipe, seen, self._transfers, self._named):
                faults += RequestInvalid(*found).beneath(("outputs", index)).faults
            else:
                of_pictures = pictures.denied(output.recipe, self._transfers, principal)
                denied += (error.beneath(("outputs", index)) for error in of_pictures)
        for index, (output, place) in enumerate(zip(request.outputs, places, strict=True)):
            if output.destination.awaits_result:
                continue
            try:
                self._transfers.check_destination(place)
            except DestinationRefused as error:
                faults.append(_refused(index, error))
        faults.extend(self._refused_webhook(request.webhook))
        denied += self._denied(request, places, principal)
        if faults:
            faults.extend(Fault("credential_not_allowed", error.path, error.at(()).sentence()) for error in denied)
            faults.raise_any()
        if denied:
            denied[0].others = tuple(denied[1:])
            raise denied[0]

    def _denied(
        self, request: JobRequest, places: Iterable[Destination], principal: str
    ) -> Iterator[CredentialNotAllowed]:
        """The credentials that this principal may not use, or not there."""
        source, webhook = request.source, request.webhook
        accesses: list[tuple[Access, str, Path, Use]] = []
        if not source.is_upload:
            accesses.append((source.sends, source.url, ("source",), "transfer"))
        for index, place in enumerate(places):
            accesses.append((place.sends, place.url, ("outputs", index, "destination"), "transfer"))
        if webhook is not None:
            accesses.append((Access(credential=webhook.secret), webhook.url, ("webhook",), "webhook"))
        for access, url, path, use in accesses:
            try:
                self._transfers.check_credential(access, url, principal, use)
            except CredentialNotAllowed as error:
                error.beneath(path)
                error.path = error.path or path  # without a name the URL is at fault
                yield error

    def _refused_webhook(self, webhook: Webhook | None) -> Iterator[Fault]:
        try:
            if webhook is not None:
                self._transfers.check_webhook(webhook.url)
        except WebhookRefused as error:
            yield Fault("webhook_refused", ("webhook",), error.sentence())

    async def resolve(
        self, request: JobRequest, infos: Sequence[ImageInfo], job_id: str, principal: str
    ) -> tuple[ResolvedOutput, ...]:
        """``infos``: of what each output takes of the source.

        Raises RequestInvalid: a place is refused, or two outputs have the same; CredentialNotAllowed for a place that
        depends on the source; and as ``job.resolve`` does.
        """
        faults = Faults()
        placed = []
        for index, (output, info) in enumerate(zip(request.outputs, infos, strict=True)):
            resolved = faults.attempt(
                ("outputs", index), resolve, output, request.source, info, self._limits, self._defaults, job_id
            )
            if resolved is not None:
                log_ignored(output.recipe.encode, resolved.rendering.format, index)
            try:
                placed += [] if resolved is None else [await self._placed(request.source, resolved, principal)]
            except DestinationRefused as error:
                faults.append(_refused(index, error))
        faults.raise_any()
        if any(output.destination.has_tags for output in request.outputs):
            for denied in self._denied(request, (output.placement.destination for output in placed), principal):
                raise denied
        check_places(tuple(placed))
        return tuple(placed)

    async def _placed(self, source: Source, output: ResolvedOutput, principal: str) -> ResolvedOutput:
        """The output with its place resolved, which judges a file's path, and finds the server of a bucket."""
        place = output.placement.destination
        if await self._transfers.is_same_file(source, place, principal):
            raise DestinationRefused("names the source itself, expected another place")
        place = await self._transfers.with_real_key(place, principal)
        place = self._transfers.with_public_url(place, principal)
        placement = msgspec.structs.replace(output.placement, destination=place)
        return msgspec.structs.replace(output, placement=placement)


def log_ignored(encode: Encode, output_format: Format, index: int = 0) -> None:
    """Log the fields that this format does not have."""
    ignored = ignored_fields(encode, output_format)
    if ignored:
        logs.event("encode_fields_ignored", output=index, format=output_format, fields=" ".join(ignored))


def _refused(index: int, error: DestinationRefused) -> Fault:
    return Fault("destination_refused", ("outputs", index, "destination"), error.sentence())
