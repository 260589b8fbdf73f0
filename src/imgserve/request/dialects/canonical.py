"""The canonical text of a request's parameters, for the keys of the cache. Pure; called by ``engine.images``."""

import msgspec


def canonical(parameters: object) -> str:
    """Equal for equal parameters, and for no others.

    It has the names of types beside their values: filters such as grayscale() and equalize(), or IIIF's sizes ``9,9``
    and ``!9,9``, have the same fields.
    """
    return msgspec.json.encode(_named(parameters), order="deterministic").decode()


def _named(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {type(value).__name__: [_named(field) for field in msgspec.structs.astuple(value)]}
    if isinstance(value, tuple):
        values = [_named(one) for one in value]
        return {type(value).__name__: values} if type(value) is not tuple else values
    return value
