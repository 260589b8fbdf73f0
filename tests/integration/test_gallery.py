"""The pictures of the reference and the gallery: one for each operation, and what the workers make today."""

from docs.pictures import NEAR, SOURCE, distance, path_of, recipes, rendered

from imgserve.request.native import OPERATIONS

MOST_BYTES = 8_000  # the pages show all of them


def test_each_operation_has_a_picture() -> None:
    assert set(recipes()) == set(OPERATIONS)
    for name, operations in recipes().items():
        assert name in [operation["operation"] for operation in operations]
    names = {SOURCE, *OPERATIONS}
    assert {path.stem for path in path_of(SOURCE).parent.glob("*.webp")} == names
    assert max(path_of(name).stat().st_size for name in names) < MOST_BYTES


async def test_the_pictures_are_up_to_date() -> None:
    source = path_of(SOURCE).read_bytes()
    async for name, file in rendered():
        assert distance(path_of(name).read_bytes(), file) <= NEAR, f"{name}: run make docs"
        assert name == SOURCE or distance(source, file) > 2 * NEAR, f"{name} shows nothing"
