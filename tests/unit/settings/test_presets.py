"""Presets in the TOML file: what they hold, and their faults with table and line."""

import argparse
from pathlib import Path

import pytest

from imgserve.request.encode import Encode
from imgserve.request.operations.resize import Resize
from imgserve.request.preset import Config
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.settings import load as settings
from imgserve.settings.load import SettingsInvalid, load

GOOD = """
port = 8000
[preset.card]
operations = [{operation = "resize", width = 600, height = 400, gravity = "north"}, {operation = "resize", width = 60}]
[preset.card.encode]
format = "webp"
quality = 70
[preset.as-it-is]
[preset.damaged]
load = {strict = false}
[[preset.damaged.operations]]
operation = "resize"
height = 10
"""
RECIPES = {
    "card": Recipe((Resize(600, 400, gravity="north"), Resize(60)), Encode("webp", 70)),
    "as-it-is": Recipe(()),
    "damaged": Recipe((Resize(height=10),), load=LoadOptions(strict=False)),
}


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "imgserve.toml"
    path.write_text(text)
    return str(path)


def started(file: str, **environ: str) -> Config:
    return load(argparse.Namespace(config=file), {"HOME": "/nonexistent", **environ}).presets


def presets(file: str, environ: dict[str, str]) -> Config:
    """As at a SIGHUP."""
    return settings.reloadable(argparse.Namespace(config=file), environ).presets


def faults(tmp_path: Path, text: str) -> list[str]:
    """Those of a start, which are those of a reload too."""
    file = write(tmp_path, text)
    with pytest.raises(SettingsInvalid) as at_start:
        started(file)
    with pytest.raises(SettingsInvalid) as at_reload:
        presets(file, {})
    assert str(at_start.value) == str(at_reload.value)
    return [fault.removeprefix(f"{file}, ") for fault in str(at_start.value).split("; ")]


def test_presets_are_recipes(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert started(file).recipes() == presets(file, {}).recipes() == RECIPES
    assert started(write(tmp_path, "port = 1")) == Config()
    logo = 'operations = [{operation = "composite", image = {name = "logo"}}]'
    named = write(tmp_path, f'[picture.logo]\npath = "logo.png"\n[preset.a]\n{logo}\n')
    assert set(started(named).recipes()) == set(presets(named, {}).recipes()) == {"a"}


def test_only_presets_by_file_or_variable(tmp_path: Path) -> None:
    file = write(tmp_path, "presets_only = true\n[preset.a]\n")
    assert started(file).is_only
    assert presets(file, {}).is_only
    assert not presets(file, {"IMGSERVE_PRESETS_ONLY": "false"}).is_only


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[preset.a]\nload = 3\n", ["line 2: [preset.a] load: expected a table, got 3"]),
        ("[preset.a]\noperations = {}\n", ["line 2: [preset.a.operations]: expected a list of tables, got a table"]),
        ("[preset.a]\noperation = []\n",
         ["line 2: [preset.a] operation: there is no such setting (did you mean operations?)"]),
        ('[preset.a]\npreset = "b"\n', ["line 2: [preset.a] preset: there is no such setting"]),
        ('[preset."a b"]\n', ["line 1: preset: expected a name of at most 32 letters, digits, - and _, got 'a b'"]),
        ('[preset.a]\n[[preset.a.operations]]\noperation = "resize"\nwidth = 9\n[[preset.a.operations]]\n'
         'operation = "resize"\n\nwidth = "9"\nheigth = 3\n',
         ["line 8: [preset.a] operations[1].width: expected an integer from 1 to 16384, got \"9\"",
          "write it without quotes: 9",
          'line 9: [preset.a] operations[1].heigth: unknown, did you mean "height"?']),
        ('[preset.a.encode]\nformat = "webp"\nquality = 70.0\n[preset.b]\nload = {strict = 2026-01-02}\n',
         ["line 3: [preset.a] encode.quality: expected an integer from 1 to 100, got 70.0",
          'line 5: [preset.b] load.strict: expected true or false, got "2026-01-02"']),
        ('[preset.a]\n[[preset.a.operations]]\noperation = "composite"\nimage = "x"\n',
         ["line 4: [preset.a] operations[0].image: expected a URL that begins with http://"]),
        ('[picture.logo]\npath = "logo.png"\n[[preset.a.operations]]\noperation = "composite"\n'
         'image = {name = "lgoo"}\n[[preset.a.operations]]\noperation = "composite"\nimage = {name = "stamp"}\n',
         ['line 5: [preset.a] operations[0].image.name: there is no picture "lgoo", did you mean "logo"?',
          'line 8: [preset.a] operations[1].image.name: there is no picture "stamp" (make a table [picture.stamp])']),
        ("[preset.a]\noperations = [\n  {width = 3},\n]\n[preset.b]\n[preset.c]\n",
         ['line 2: [preset.a] operations[0].operation: expected "']),
    ],
)  # fmt: skip
def test_faults_name_table_and_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = faults(tmp_path, text)
    assert len(found) == len(expected), found
    for fault, beginning in zip(found, expected, strict=True):
        assert fault.startswith(beginning)


def test_a_reload_names_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="does not exist, expected a TOML file"):
        presets(str(tmp_path / "gone.toml"), {})


def test_a_reload_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read: it is a directory, expected a file \\(name a file"):
        presets(str(tmp_path), {})
