"""Makes an SVG safe to be shown by a browser as it is: nothing in it runs, loads, or leads out of the document.

Called by ``__main__.py`` and template. In: the bytes of the file. Out: the document anew, in UTF-8, without a document
type. It is read by expat and written again with nothing but SVG's own elements, no prefixes, and no references to the
outside; then ``svg-hush`` leaves its list of elements and attributes. svg-hush alone would let references to the host
that serves the document stay, forget namespaces that have a prefix, and indent the document, which is drawn where it
stands in a text.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from xml.parsers import expat

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker import bounds
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.svg import references, sizing, svgz, xmlcheck, xmltext
from imgserve.imaging.worker.svg.markup import find_root
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request.limits import Limits

_KEPT_DATA = {"image": ["png", "jpeg", "jpg", "gif", "webp", "avif"]}
_SVG, _XLINK, _XML = (
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/xlink",
    "http://www.w3.org/XML/1998/namespace",
)
_DEEPEST = 1000
_PIECE_BYTES = 65_536
# Between all tags, so that nothing is indented. XML allows this letter, and Unicode gives it no meaning (23.7). The
# drawing's own go before anything is judged: one within a word would hide it, and goes at the end in any case.
_MARK = "\ufdd0"
# Attributes that svg-hush would remove, under names that it keeps.
_CARRIER = "data-imgserve-"
_CARRIED = re.compile(rb" data-imgserve-(href|paint-order|space)=")
_HAVE_HREF = frozenset({"textPath", "mpath"})  # which svg-hush does not know
_FREE = ("aria-", "data-")
_IN_TEXT = str.maketrans({_MARK: "", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTES = {**_IN_TEXT, **str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})}

Filter = Callable[[bytes, dict[str, list[str]]], bytes]


@cache
def library() -> Filter | None:
    """svg-hush; None where it is not installed, or not for this machine."""
    try:
        import py_svg_hush
    except ImportError:
        return None
    return py_svg_hush.filter_svg


def sanitized(data: Data, limits: Limits, watched: Watch = unwatched) -> bytes | None:
    """None: svg-hush is missing. Raises SourceUnreadable, SvgInvalid, PictureTooLarge."""
    hush = library()
    if hush is None:
        return None
    data = svgz.unpacked(data, limits) if svgz.is_packed(data) else bytes(data)
    bounds.check_svg_bytes(len(data), limits)
    encoding = xmltext.unknown_encoding(data)
    root = find_root(data) if detect(data) == "svg" and encoding is None else None
    if root is None:
        raise sizing.not_svg()
    with watched(SvgInvalid("reading the SVG costs too much", "simplify it, or save it anew with a drawing program")):
        xmlcheck.check(root.data)
        plain = _plain(root.data)
        try:
            document = hush(plain, _KEPT_DATA)
        except ValueError as error:
            raise xmlcheck.unreadable() from error
    document = _CARRIED.sub(_own_name, document.replace(_MARK.encode(), b""))
    bounds.check_svg_bytes(len(document), limits)
    return document


def _own_name(carried: re.Match[bytes]) -> bytes:
    return b" xml:space=" if carried[1] == b"space" else b" %b=" % carried[1]


def _plain(data: bytes) -> bytes:
    """Raises SvgInvalid."""
    writer = _Writer()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.text
    parser.buffer_text = True
    try:
        for at in range(0, len(data), _PIECE_BYTES):
            parser.Parse(data[at : at + _PIECE_BYTES], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise xmlcheck.unreadable() from error
    return "".join(writer.parts).encode()


class _Writer:
    """Writes SVG's own elements as expat reads them. Any other element is left out with its content."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._names: list[str] = []
        self._css: list[str] = []
        self._skipped = 0
        self._spaces = frozenset({_SVG})

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Raises SvgInvalid."""
        namespace, _, local = name.rpartition(" ")
        is_root = not self._names and not self._skipped
        if is_root and not namespace:
            self._spaces = frozenset({_SVG, ""})  # it is drawn here like one with SVG's
        if self._skipped or namespace not in self._spaces or self._is_in_style():
            self._skipped += 1
            return
        self._names.append(local)
        if len(self._names) > _DEEPEST:
            raise SvgInvalid(f"the SVG has more than {_DEEPEST} elements within each other", "simplify it")
        self.parts.append(f'<{local} xmlns="{_SVG}"' if is_root else f"<{local}")
        self.parts += [f' {key}="{value.translate(_IN_ATTRIBUTES)}"' for key, value in _kept(local, attributes).items()]
        self.parts.append(f">{_MARK}")

    def end(self, _name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if self._is_in_style():
            self.parts.append(references.without_outer("".join(self._css)).translate(_IN_TEXT))
            self._css.clear()
        self.parts.append(f"</{self._names.pop()}>{_MARK if self._names else ''}")

    def text(self, text: str) -> None:
        if self._skipped:
            return
        if self._is_in_style():
            self._css.append(text.replace(_MARK, ""))
        else:
            self.parts.append(text.translate(_IN_TEXT))

    def _is_in_style(self) -> bool:
        return self._names[-1:] == ["style"]


def _as_svg_hush_leaves(value: str) -> str:
    """CSS in an attribute, in which two halves of a name may meet."""
    return value.encode("ascii", "ignore").decode()


def _kept(element: str, attributes: Mapping[str, str]) -> dict[str, str]:
    kept = {}
    for name, raw in attributes.items():
        namespace, _, local = name.rpartition(" ")
        value = raw.replace(_MARK, "")
        if local == "href" and namespace in ("", _XLINK):
            if references.is_inner(value) and (not namespace or "href" not in attributes):
                kept[f"{_CARRIER}href" if element in _HAVE_HREF else "href"] = value.strip()
        elif (namespace, local, value) == (_XML, "space", "preserve"):
            kept[f"{_CARRIER}space"] = value
        elif not namespace and not local.startswith(_CARRIER):
            is_css = local == "style" or (("(" in value or "\\" in value) and not local.startswith(_FREE))
            kept[f"{_CARRIER}{local}" if local == "paint-order" else local] = (
                references.without_outer(_as_svg_hush_leaves(value)) if is_css else value
            )
    return kept
