"""Presets: recipes with a name, in tables of the settings file. The settings nest ``Config``.

Every command loads the declarations of the settings, and few read a preset: the parser of recipes is loaded with the
first one.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from imgserve.request.faults import Fault, RequestInvalid
from imgserve.setting import Problem, Section, Setting

if TYPE_CHECKING:
    from imgserve.request.recipe import Recipe

Table = dict[str, Any]


class Preset(msgspec.Struct, frozen=True):
    """A recipe as the file has it: tables, which ``problems`` checks as it would the recipe of a request."""

    # fmt: off
    operations: Annotated[tuple[Table, ...], Setting("its operations, in order")] = ()
    load: Annotated[Table, Setting("how it reads the source")] = {}
    encode: Annotated[Table, Setting("how it writes the result")] = {}
    # fmt: on

    def recipe(self) -> "Recipe":
        """Raises RequestInvalid."""
        from imgserve.request.native import parse_recipe

        return parse_recipe({"operations": list(self.operations), "load": self.load, "encode": self.encode})

    def problems(self) -> tuple[Problem, ...]:
        """Also those of its further pictures, whose names ``Config.unknown_pictures`` knows."""
        try:
            faults = _faults_of_pictures(self.recipe())
        except RequestInvalid as invalid:
            faults = invalid.faults
        return tuple(Problem(str(fault.path[0]), fault.reason(), fault.path[1:]) for fault in faults)


def _faults_of_pictures(recipe: "Recipe") -> Sequence[Fault]:
    if not recipe.further:
        return ()
    from imgserve.request import further  # libcurl parses URLs

    return further.check(recipe, set())


class Config(msgspec.Struct, frozen=True):
    # fmt: off
    is_only: Annotated[bool, Setting(
        "a request may name a preset, and nothing else of a recipe", name="presets_only")] = False
    named: Annotated[dict[str, Preset], Section("Presets", table="preset")] = {}
    # fmt: on

    def recipes(self) -> "dict[str, Recipe]":
        """Raises RequestInvalid, but not without ``problems``."""
        return {name: preset.recipe() for name, preset in self.named.items()}

    def unknown_pictures(self, known: Collection[str]) -> Iterator[Problem]:
        """For recipes that draw a picture of a name that is not in the settings. Raises as ``recipes`` does."""
        from imgserve.request.values import did_you_mean

        for name, recipe in self.recipes().items():
            for image, index in recipe.further.items():
                if image.name and image.name not in known:
                    hint = did_you_mean(image.name, tuple(known)) or f" (make a table [picture.{image.name}])"
                    sentence = f'there is no picture "{image.name}"{hint}'
                    yield Problem(f"named.{name}.operations", sentence, (index, "image", "name"))
