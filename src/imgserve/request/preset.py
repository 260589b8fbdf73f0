"""Presets: recipes with a name, in tables of the settings file. The settings nest ``Config``."""

from typing import Annotated, Any

import msgspec

from imgserve.request.faults import RequestInvalid
from imgserve.request.native import parse_recipe
from imgserve.request.recipe import Recipe
from imgserve.setting import Problem, Section, Setting

Table = dict[str, Any]


class Preset(msgspec.Struct, frozen=True):
    """A recipe as the file has it: tables, which ``problems`` checks as it would the recipe of a request."""

    # fmt: off
    operations: Annotated[tuple[Table, ...], Setting("its operations, in order")] = ()
    load: Annotated[Table, Setting("how it reads the source")] = {}
    encode: Annotated[Table, Setting("how it writes the result")] = {}
    # fmt: on

    def recipe(self) -> Recipe:
        """Raises RequestInvalid."""
        return parse_recipe({"operations": list(self.operations), "load": self.load, "encode": self.encode})

    def problems(self) -> tuple[Problem, ...]:
        try:
            self.recipe()
        except RequestInvalid as invalid:
            return tuple(Problem(str(fault.path[0]), fault.reason(), fault.path[1:]) for fault in invalid.faults)
        return ()


class Config(msgspec.Struct, frozen=True):
    # fmt: off
    is_only: Annotated[bool, Setting(
        "a request may name a preset, and nothing else of a recipe", name="presets_only")] = False
    named: Annotated[dict[str, Preset], Section("Presets", table="preset")] = {}
    # fmt: on

    def recipes(self) -> dict[str, Recipe]:
        """Raises RequestInvalid, but not without ``problems``."""
        return {name: preset.recipe() for name, preset in self.named.items()}
