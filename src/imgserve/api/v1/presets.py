"""``GET /v1/presets``: the presets that a request may name."""

import msgspec

from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call
from imgserve.api.presets import Presets
from imgserve.jobs.views import redacted_url
from imgserve.request.encode import Encode
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import LoadOptions, Operation, Recipe


class PresetView(msgspec.Struct, frozen=True):
    """A recipe by its name. URLs of further pictures come without user name, password and query."""

    name: str
    load: LoadOptions
    operations: tuple[Operation, ...]
    encode: Encode

    @classmethod
    def of(cls, name: str, recipe: Recipe) -> "PresetView":
        return cls(name, recipe.load, tuple(map(_redacted, recipe.operations)), recipe.encode)


class PresetList(msgspec.Struct, frozen=True):
    """``presets_only``: requests may have no other recipe."""

    presets: tuple[PresetView, ...]
    presets_only: bool


CALL = Call(
    "GET",
    "/v1/presets",
    "presets",
    "The presets of this server, by name.",
    {"application/json": PresetList},
    (401,),
)


class PresetPage:
    def __init__(self, presets: Presets) -> None:
        self._presets = presets

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        presets = self._presets
        views = tuple(PresetView.of(name, recipe) for name, recipe in sorted(presets.recipes.items()))
        await asgi.answer_json(send, PresetList(views, presets.is_only))


def _redacted(operation: Operation) -> Operation:
    if not (isinstance(operation, Composite) and operation.image.url):
        return operation
    return msgspec.structs.replace(operation, image=ImageRef(url=redacted_url(operation.image.url)))
