"""Checks by expat whether a document is XML, at a cost that grows with its length alone. Called by sizing.

expat cannot be interrupted, and a document type may make it work for hours: default attributes for every element,
entities in entities, a namespace's name copied for every attribute. So it gets the document in small pieces. The
declarations are counted after each piece, and their possible cost is checked before the drawing is read.
"""

import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from xml.parsers import expat
from xml.parsers.expat import errors

from imgserve.imaging.faults import SvgInvalid

_PIECE_BYTES = 1024
_MOST_ATTRIBUTES = 100  # declared in the document type; each costs every element 1.4 us
_MOST_ENTITIES = 1000
_MOST_NAME_BYTES = 256  # of a namespace, which expat copies for every attribute in it
_MOST_EQUALS_SIGNS = 50_000  # in one tag, which expat reads in one go
_MOST_REFERENCES = 200_000
_MOST_EXPANDED_BYTES = 5_000_000
_MOST_ELEMENTS_AT_ONCE = 2000  # that one entity brings, times the declared attributes
_CLOSED_BY = {b"<!--": b"-->", b"<?": b"?>"}
_TAG = re.compile(rb"(?:[^\"'>]|\"[^\"]*+\"|'[^']*+')*+>")
_ENTITY = re.compile(rb"&([^;&<>\s#]{1,100});")
_NAMESPACE = re.compile(rb"xmlns(?<=[\s'\"]xmlns)[^=\s<>'\"]*+\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")

_NO_XML = frozenset(errors.codes[message] for message in (
    errors.XML_ERROR_NO_ELEMENTS, errors.XML_ERROR_UNCLOSED_TOKEN, errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    errors.XML_ERROR_TAG_MISMATCH, errors.XML_ERROR_DUPLICATE_ATTRIBUTE, errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT,
    errors.XML_ERROR_UNBOUND_PREFIX, errors.XML_ERROR_UNDEFINED_ENTITY,
))  # fmt: skip
_BAD_TOKEN = errors.codes[errors.XML_ERROR_INVALID_TOKEN]
_FIRST_BEYOND_ASCII = 0x80


def check(data: bytes) -> bool:
    """``data`` is UTF-8. Raises SvgInvalid for a document that is no XML, or that a parser would work on for long.

    False for one with another fault, which librsvg may find when it draws.
    """
    _check_namespaces(data, {})
    reader = _Reader(data)
    try:
        reader.read()
    except expat.ExpatError as error:
        # expat refuses some letters that XML's fifth edition allows in names.
        at = min(reader.parser.ErrorByteIndex, len(data) - 1)
        is_bad = error.code == _BAD_TOKEN and data[at] < _FIRST_BEYOND_ASCII
        if is_bad or error.code in _NO_XML:
            raise unreadable() from error
        return False
    return True


def unreadable() -> SvgInvalid:
    return SvgInvalid("the SVG cannot be read: it is broken or empty", "open it in a browser to see why")


def _costly(excess: str) -> SvgInvalid:
    """For a document that a parser would work on far longer than the length suggests."""
    return SvgInvalid(f"reading the SVG would cost too much: {excess}", "save it anew with a drawing program")


class _Reader:
    """One run of expat over one document."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._attributes = 0
        self._entities: dict[bytes, bytes] = {}
        self.parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = self._begin_doctype

    def read(self) -> None:
        """Read to the end, in pieces. The rest of a token that is longer than a piece is one piece.

        Otherwise expat would read such a token again from its start with every piece.
        """
        at, token = 0, -1
        while at < len(self._data):
            before, token = token, self.parser.CurrentByteIndex
            end = at + _PIECE_BYTES
            if token == before and token >= 0:
                end = max(end, _end_of_token(self._data, token))
            self.parser.Parse(self._data[at:end], False)
            at = end
        self.parser.Parse(b"", True)

    def _begin_doctype(self, _name: str, _system: str | None, _public: str | None, has_subset: bool) -> None:
        if has_subset:
            self.parser.AttlistDeclHandler = self._count_attribute
            self.parser.EntityDeclHandler = self._keep_entity
            self.parser.EndDoctypeDeclHandler = self._check_cost
            # The handler returns to Python for each element, so that the watchdog thread gets to run.
            self.parser.specified_attributes = True
            self.parser.StartElementHandler = lambda *_: None

    def _count_attribute(self, _element: str, _name: str, _kind: str, default: str | None, _is_required: bool) -> None:
        self._attributes += 1
        if self._attributes > _MOST_ATTRIBUTES:
            raise _costly(f"its document type declares more than {_MOST_ATTRIBUTES} attributes")
        if default and len(default) > _MOST_NAME_BYTES:
            raise _costly(f"its document type gives an attribute a value of more than {_MOST_NAME_BYTES} letters")

    def _keep_entity(self, name: str, is_parameter: bool, value: str | None, *_where: object) -> None:
        if is_parameter or value is None:  # librsvg reads neither
            return
        if len(self._entities) >= _MOST_ENTITIES:
            raise _costly(f"its document type declares more than {_MOST_ENTITIES} entities")
        self._entities[name.encode()] = value.encode()

    def _check_cost(self) -> None:
        if not self._entities:
            return
        body = self._data[self.parser.CurrentByteIndex :]
        if self._data.count(b"&") > _MOST_REFERENCES:
            raise _costly(f"it has more than {_MOST_REFERENCES} references to entities")
        lengths, elements = _expanded(self._entities)
        total = sum(count * lengths.get(name, 0) for name, count in Counter(_ENTITY.findall(body)).items())
        if total > _MOST_EXPANDED_BYTES:
            raise _costly(f"its entities make up more than {_MOST_EXPANDED_BYTES} bytes")
        if max(elements.values()) * self._attributes > _MOST_ELEMENTS_AT_ONCE:
            raise _costly("its entities hold too many elements, for which its document type declares attributes")
        for text in (body, *self._entities.values()):
            _check_namespaces(text, lengths)


def _expanded(entities: dict[bytes, bytes]) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """The bytes and the elements of each entity, with those of the entities that it refers to."""
    used = {name: Counter(_ENTITY.findall(text)) for name, text in entities.items()}
    lengths: dict[bytes, int] = {}
    elements: dict[bytes, int] = {}
    try:
        order = tuple(TopologicalSorter(used).static_order())
    except CycleError as error:
        raise _costly("its entities refer to each other in a circle") from error
    for name in order:
        text, others = entities.get(name, b""), used.get(name, Counter())
        lengths[name] = len(text) + sum(count * lengths[other] for other, count in others.items())
        elements[name] = text.count(b"<") + sum(count * elements[other] for other, count in others.items())
    return lengths, elements


def _end_of_token(data: bytes, at: int) -> int:
    """The end of the comment, instruction, tag or declaration that begins at ``at``. Raises SvgInvalid."""
    for mark, closing in _CLOSED_BY.items():
        if data.startswith(mark, at):
            end = data.find(closing, at + len(mark))
            return end + len(closing) if end >= 0 else len(data)
    tag = _TAG.match(data, at)
    end = tag.end() if tag else len(data)
    if data.count(b"=", at, end) > _MOST_EQUALS_SIGNS:
        raise _costly(f"an element has more than {_MOST_EQUALS_SIGNS} attributes")
    return end


def _check_namespaces(text: bytes, lengths: dict[bytes, int]) -> None:
    for match in _NAMESPACE.finditer(text):
        value = match[1] or match[2] or b""
        if len(value) + sum(lengths.get(name, 0) for name in _ENTITY.findall(value)) > _MOST_NAME_BYTES:
            raise _costly(f"a namespace has a name of more than {_MOST_NAME_BYTES} bytes")
