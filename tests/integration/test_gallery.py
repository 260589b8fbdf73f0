"""The pictures of the reference and the gallery: one for each operation, and what the workers make today."""

import re

from docs.pictures import DOCS, NEAR, SOURCE, distance, path_of, recipes, rendered

from imgserve.request.native import OPERATIONS
from imgserve.request.operations.operation import KeepsSize

MOST_BYTES = 8_000  # the pages show all of them


def test_each_operation_has_a_picture() -> None:
    assert set(recipes()) == set(OPERATIONS)
    for name, operations in recipes().items():
        assert name in [operation["operation"] for operation in operations]
    names = {SOURCE, *OPERATIONS}
    assert {path.stem for path in path_of(SOURCE).parent.glob("*.webp")} == names
    assert max(path_of(name).stat().st_size for name in names) < MOST_BYTES


def test_operations_that_change_the_size_say_how() -> None:
    sizes = (DOCS / "reference/operations.md").read_text().partition("## Sizes")[2].partition("\n## ")[0]
    changing = {name for name, operation in OPERATIONS.items() if not issubclass(operation, KeepsSize)}
    assert set(re.findall(r"^\| (\w+) \|", sizes, re.MULTILINE)) - {"operation", "if_small"} == changing


def test_every_field_is_described() -> None:
    page = (DOCS / "reference/operations.md").read_text()
    fields = re.findall(r"^\| (`[\w.\[\]]+`) \|.*\| ([^|]*) \|$", page.partition("\n## blur")[2], re.MULTILINE)
    assert len(fields) > 40
    assert [name for name, meaning in fields if not meaning.strip()] == []


async def test_the_pictures_are_up_to_date() -> None:
    source = path_of(SOURCE).read_bytes()
    async for name, file in rendered():
        assert distance(path_of(name).read_bytes(), file) <= NEAR, f"{name}: run make docs"
        assert name == SOURCE or distance(source, file) > 2 * NEAR, f"{name} shows nothing"
