"""The further pictures of recipes: their number and their URLs, checked before anything is fetched.

Called by ``engine`` when a job is accepted, and with each attempt.
"""

from collections.abc import Iterable

from imgserve.errors import Path
from imgserve.request.faults import Fault, Faults
from imgserve.request.imageref import ImageRef
from imgserve.request.recipe import MAX_FURTHER, Recipe
from imgserve.request.source import Source, parse_source


def sources_of(recipes: Iterable[Recipe]) -> dict[ImageRef, Source | None]:
    """The different further pictures of recipes, in their order; None for one of the settings.

    Raises RequestInvalid for a URL that ``check`` refuses.
    """
    images = dict.fromkeys(image for recipe in recipes for image in recipe.further)
    return {image: parse_source(image.url) if image.url else None for image in images}


def check(recipe: Recipe, seen: set[ImageRef]) -> Faults:
    """The faults of a recipe's further pictures, with paths from the recipe.

    ``seen``: those of the job's other recipes, to which these are added.
    """
    faults = Faults()
    for image, index in recipe.further.items():
        seen.add(image)
        if len(seen) > MAX_FURTHER:
            note = f"expected at most {MAX_FURTHER} different pictures in a job beside its source"
            faults.append(Fault("output_count", place(index), note))
        elif image.url:
            faults.attempt(place(index), parse_source, image.url)
    return faults


def place(index: int) -> Path:
    """The field that names the picture of an operation."""
    return ("operations", index, "image")
