"""How each server is asked for the picture of a cell. Pure; called by ``contestants`` and ``measure``."""

from urllib.parse import quote

import msgspec
from bench.servers.cells import Cell

_MODES = {False: "fit", True: "fill"}


class Asked(msgspec.Struct, frozen=True):
    """A GET, or with a body a POST of JSON."""

    target: str
    body: bytes = b""


def recipe(cell: Cell) -> dict[str, object]:
    encode: dict[str, object] = {"format": cell.format}
    if cell.quality is not None:
        encode["quality"] = cell.quality
    resize = {
        "operation": "resize",
        "width": cell.width_px,
        "height": cell.height_px,
        "fit": "cover" if cell.is_cut else "inside",
    }
    return {"operations": [resize], "encode": encode}


def render(cell: Cell, source: str) -> Asked:
    return Asked("/v1/render", msgspec.json.encode({"source": source, **recipe(cell)}))


def job(cell: Cell, source: str, destination: str) -> Asked:
    output = {**recipe(cell), "destination": destination}
    return Asked("/v1/jobs", msgspec.json.encode({"source": source, "outputs": [output]}))


def imgproxy(cell: Cell, source: str) -> Asked:
    quality = f"/q:{cell.quality}" if cell.quality else ""
    options = f"rs:{_MODES[cell.is_cut]}:{cell.width_px}:{cell.height_px}{quality}"
    return Asked(f"/_/{options}/plain/{quote(source, safe='')}@{cell.extension}")


def sharp(cell: Cell, source: str, *, has_effort: bool) -> Asked:
    fit = "cover" if cell.is_cut else "inside"
    effort = cell.effort if has_effort and cell.effort is not None else "-"
    return Asked(
        f"/{fit}/{cell.width_px}/{cell.height_px}/{cell.format}/{cell.quality or '-'}/{effort}/{quote(source, safe='')}"
    )


def ipx(cell: Cell, source: str) -> Asked:
    fit = "cover" if cell.is_cut else "inside"
    chosen = [f"f_{cell.format}", f"fit_{fit}", f"s_{cell.width_px}x{cell.height_px}"]
    if cell.quality:
        chosen.append(f"q_{cell.quality}")
    if cell.frames > 1:
        chosen.append("animated")
    return Asked(f"/{','.join(chosen)}/{quote(source, safe='')}")


def thumbor(cell: Cell, source: str) -> Asked:
    fit = "" if cell.is_cut else "fit-in/"
    filters = f"format({cell.format})" + (f":quality({cell.quality})" if cell.quality else "")
    return Asked(f"/unsafe/{fit}{cell.width_px}x{cell.height_px}/filters:{filters}/{quote(source, safe='')}")


def nginx(cell: Cell, source: str) -> Asked:
    """The source's path alone: the host stands in its configuration."""
    kind = "crop" if cell.is_cut else "resize"
    return Asked(f"/{kind}/{cell.width_px}/{cell.height_px}/{source.split('/', 3)[3]}")


def template(text: str, cell: Cell, source: str) -> Asked:
    """``text`` is a URL's path and query with fields in braces; ``{fit=A|B}`` is A for a box, B where the cell cuts.

    Raises KeyError: an unknown field.
    """
    values = {
        "source": quote(source, safe=""),
        "plain_source": source,
        "width": str(cell.width_px),
        "height": str(cell.height_px),
        "format": cell.format,
        "extension": cell.extension,
        "quality": str(cell.quality or 80),
    }
    parts = []
    head, *fields = text.split("{")
    for field in fields:
        name, _, rest = field.partition("}")
        word, equals, choice = name.partition("=")
        if equals and word == "fit":
            box, _, cut = choice.partition("|")
            parts.append((cut if cell.is_cut else box) + rest)
        else:
            parts.append(values[name] + rest)
    return Asked(head + "".join(parts))
