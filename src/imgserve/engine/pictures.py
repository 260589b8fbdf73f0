"""The pictures that a recipe draws besides its source: their check before a job is accepted, and their bytes.

Those of URLs come with each attempt, in ``render``; those of the settings stay in memory, under their names.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from imgserve.blob import Blob
from imgserve.engine.config import PictureConfig
from imgserve.errors import FileUnusable, ImgserveError, using
from imgserve.imaging.pool import Pool
from imgserve.request import further
from imgserve.request.access import NOTHING
from imgserve.request.faults import Fault, Faults
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.recipe import Recipe
from imgserve.request.source import parse_source
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import CredentialNotAllowed, SourceRefused, SourceUnavailable


class PicturesUnusable(ImgserveError):
    """Pictures of the settings cannot be read, or are no pictures."""


class NamedPictures:
    """The pictures of the settings, by name. They belong to no principal. It owns their handles."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._blobs

    def __len__(self) -> int:
        return len(self._blobs)

    def share(self, name: str) -> Blob:
        """A handle for the caller. Raises SourceUnavailable: it has gone since the job was accepted."""
        if name not in self._blobs:
            raise SourceUnavailable(
                "the settings have no picture of this name any more", "put it back", is_retryable=False
            )
        return self._blobs[name].share()

    def version(self, names: Iterable[str]) -> str:
        """Changes with the bytes of any of these pictures. Empty for no names."""
        return " ".join(self._digest(name) if name in self._blobs else "none" for name in names)

    def _digest(self, name: str) -> str:
        return self._blobs[name].fingerprint().digest.hex()

    def replace(self, blobs: Mapping[str, Blob]) -> None:
        """Takes the handles over. Renders under way keep what they have."""
        old, self._blobs = self._blobs, dict(blobs)
        for blob in old.values():
            blob.close()

    def close(self) -> None:
        self.replace({})


async def read(configs: Mapping[str, PictureConfig], pool: Pool, limits: Limits) -> dict[str, Blob]:
    """The pictures of the settings, whose headers a worker reads; the caller closes them.

    Raises PicturesUnusable, which names every fault with its place in the settings.
    """
    problems = []
    with ExitStack() as held:
        blobs = {}
        for name, config in configs.items():
            try:
                blobs[name] = held.enter_context(await asyncio.to_thread(_read, config.path, limits.source_bytes))
                await pool.probe(blobs[name], is_complete=True)
                await asyncio.to_thread(blobs[name].fingerprint)  # which keys of the cache have
            except ImgserveError as error:
                problems.append(f"{config.origin}: {error.sentence()}")
        if problems:
            raise PicturesUnusable("; ".join(problems))
        return {name: blob.share() for name, blob in blobs.items()}


def _read(path: str, most_bytes: int) -> Blob:
    """Raises FileUnusable."""
    with using(f"the picture {path}"), Path(path).open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise FileUnusable(f"the picture {path} is larger than max_source_bytes = {most_bytes}", "use a smaller one")
    return Blob.of(data)


def check(recipe: Recipe, seen: set[ImageRef], transfers: Transfers, named: NamedPictures) -> Faults:
    """All faults of the pictures that a recipe draws, by text, policy and name. Paths begin at the recipe.

    ``seen``: those of the job's other recipes, to which these are added.
    """
    faults = further.check(recipe, seen)
    if faults:
        return faults
    for image, index in recipe.further.items():
        path = further.place(index)
        if image.name and image.name not in named:
            faults.append(
                Fault("field_invalid", path, expected="the name of a picture of the settings", got=image.name)
            )
        elif image.url:
            try:
                transfers.check_source(parse_source(image.url))
            except SourceRefused as error:
                faults.append(Fault("source_refused", path, error.sentence()))
    return faults


def judge(recipe: Recipe, transfers: Transfers, named: NamedPictures, principal: str) -> None:
    """As ``check`` and ``denied`` do, of a single recipe. Raises RequestInvalid, CredentialNotAllowed."""
    check(recipe, set(), transfers, named).raise_any()
    for error in denied(recipe, transfers, principal):
        raise error


def denied(recipe: Recipe, transfers: Transfers, principal: str) -> Iterator[CredentialNotAllowed]:
    """Of pictures in buckets, with paths from a recipe in which ``check`` has found no fault."""
    for image, index in recipe.further.items():
        if image.url:
            try:
                transfers.check_credential(NOTHING, image.url, principal)
            except CredentialNotAllowed as error:
                error.path = further.place(index)
                yield error


class Inputs:
    """The pictures of one rendering. Its holder closes it."""

    __slots__ = ("further", "source")

    def __init__(self, source: Blob, further: tuple[Blob, ...]) -> None:
        self.source = source
        self.further = further

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for blob in (self.source, *self.further):
            blob.close()


class Pictures:
    """The pictures that an attempt renders from. Its holder closes it.

    ``further``: the error of each one that could not be fetched stands in its place, since it fails no output but
    those that draw it.
    """

    def __init__(self, source: Blob, further: Mapping[ImageRef, Blob | ImgserveError]) -> None:
        self.source = source
        self.further = dict(further)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def of(self, recipe: Recipe) -> Inputs:
        """Handles for one rendering. Raises the error of a picture that it draws, with the path from the recipe."""
        blobs = []
        for image, index in recipe.further.items():
            picture = self.further[image]
            if isinstance(picture, ImgserveError):
                raise picture.at(further.place(index))
            blobs.append(picture)
        return Inputs(self.source.share(), tuple(blob.share() for blob in blobs))

    def close(self) -> None:
        self.source.close()
        for picture in self.further.values():
            if isinstance(picture, Blob):
                picture.close()
