"""The shape that all operations share: an object of a recipe that names itself in its field ``operation``."""

from typing import ClassVar

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.geometry import Shape


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="operation"):
    exclusive: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of fields of which a request may give one, even if the second has its default there."""

    def faults(self) -> tuple[Fault, ...]:
        """The faults of fields beside each other, each alone being right. Paths begin at the operation."""
        return ()

    def check(self, before: Shape) -> None:
        """Raises an error for a picture that the operation refuses."""


class KeepsSize(Named, frozen=True):
    """An operation that changes pixels only."""

    def after(self, before: Shape) -> Shape:
        """Raises SourceTooSmall for a drawing without size."""
        return before.resized(before.size.width_px, before.size.height_px)
