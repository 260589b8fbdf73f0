"""What is wished for before the source's header is known: a recipe, or what becomes one once it is known.

Values that a worker can get, so that it reads the header and renders in one step. Pure.
"""

from functools import lru_cache

import msgspec

from imgserve.request.dialects.imgproxy import plan
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.encode import Defaults, Format, RenderProfile
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve


class Given(msgspec.Struct, frozen=True, tag="recipe"):
    recipe: Recipe

    def recipe_for(self, _info: ImageInfo) -> Recipe | None:
        return self.recipe if is_settled(self.recipe) else None


class OfImgproxy(msgspec.Struct, frozen=True, tag="imgproxy"):
    parameters: Parameters

    def recipe_for(self, info: ImageInfo) -> Recipe | None:
        """Raises ImgproxyRefused."""
        planned = plan.plan(self.parameters, info)
        needs_more = planned.trim is not None or planned.is_source or planned.recipe.encode.max_bytes is not None
        return planned.recipe if is_settled(planned.recipe) and not needs_more else None


# ``recipe_for`` a header is None where the picture needs more: other sources, the pixels, or several tries.
Wish = Given | OfImgproxy


def of(parameters: object) -> Wish | None:
    """From the parameters of a dialect; None for one whose plans depend on a mount's settings, too, and for a picture
    that needs more in any case. So no worker gets the URL of a watermark, which may hold a password.
    """
    if not isinstance(parameters, Parameters):
        return None
    is_marked = parameters.watermark.opacity > 0 or bool(parameters.watermark.url)
    needs_more = is_marked or parameters.trim is not None or parameters.max_bytes > 0
    return None if needs_more else OfImgproxy(parameters)


def rendering_of(wish: Wish, info: ImageInfo, limits: Limits, defaults: Defaults) -> Rendering | None:
    """Raises UrlRefused, and as ``resolve`` does."""
    if isinstance(wish, OfImgproxy) or _is_plain(wish.recipe):
        return _rendering_of(wish, info, limits, tuple(defaults.quality.items()), defaults.render_profile)
    recipe = wish.recipe_for(info)
    return None if recipe is None else resolve(recipe, info, limits, defaults)


# A site asks for few kinds of renditions, often of pictures of one size, and a rendering is planned twice: by the
# worker, and by the server that checks its reply. That takes 0.2 ms of a busy server, and a few KB here.
@lru_cache(maxsize=256)
def _rendering_of(
    wish: Wish, info: ImageInfo, limits: Limits, quality: tuple[tuple[Format, int], ...], profile: RenderProfile
) -> Rendering | None:
    recipe = wish.recipe_for(info)
    return None if recipe is None else resolve(recipe, info, limits, Defaults(dict(quality), profile))


def _is_plain(recipe: Recipe) -> bool:
    """Whether it may be remembered: some other operations have thousands of numbers."""
    return all(isinstance(operation, Resize) for operation in recipe.operations)


def is_settled(recipe: Recipe) -> bool:
    """Whether nothing but the source's header is needed to resolve it, and nothing but the source to render it."""
    return recipe.encode.format is not None and not recipe.further
