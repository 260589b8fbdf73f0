"""Reads an XMP packet, and writes what a result keeps of it. Called by ``kept``.

XMP specification (ISO 16684-1), sections 7 and 8: RDF/XML; the serialisation in a packet, section 7.3. Expat reads it;
a document type is refused, since its declarations can make a parser work long.
"""

from collections.abc import Mapping
from xml.parsers import expat

from imgserve.imaging.worker.metadata.credit import Credit

_DC = "http://purl.org/dc/elements/1.1/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMP = "http://ns.adobe.com/xap/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_XML = "http://www.w3.org/XML/1998/namespace"
# Thumbnails, and the mark of further parts of the packet, which are not kept.
_NEVER = {(_XMP, "Thumbnails"), (_NOTE, "HasExtendedXMP")}
_POSITION_WORDS = ("gps", "latitude", "longitude")  # in a property's name, of any maker's namespace
_ORIENTATION = (_TIFF, "Orientation")
_RIGHTS, _CREATOR = {(_DC, "rights"), (_TIFF, "Copyright")}, {(_DC, "creator"), (_TIFF, "Artist")}
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_TAIL = '<?xpacket end="w"?>'
_MOST_DEPTH = 50
_MOST_ARTISTS = 20
_MOST_TEXT = 2000

Name = tuple[str, str]


class XmpUnreadable(Exception):
    """The packet is no XML, or has a document type, or is nested too deep."""


def credit(packet: bytes) -> Credit:
    """Raises XmpUnreadable."""
    return _CreditReader().read(packet)


def cleaned(packet: bytes, *, keep_position: bool) -> bytes:
    """The packet without thumbnails and, unless they are kept, positions; upright. Raises XmpUnreadable."""
    return packed(_Filter(keep_position=keep_position).read(packet))


def of(credit: Credit) -> bytes:
    """A packet with nothing but these."""
    parts = []
    if credit.copyright:
        text = _escaped(credit.copyright)
        parts.append(f'<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:rights>')
    if credit.artists:
        artists = "".join(f"<rdf:li>{_escaped(artist)}</rdf:li>" for artist in credit.artists)
        parts.append(f"<dc:creator><rdf:Seq>{artists}</rdf:Seq></dc:creator>")
    return packed(
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""'
        f' xmlns:dc="{_DC}">{"".join(parts)}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )


def packed(xml: str) -> bytes:
    return f"{_HEAD}\n{xml}\n{_TAIL}".encode()


class _Reader:
    """Walks a packet. Names come as namespace and local name; ``prefixes`` maps the declared ones of each level."""

    def __init__(self) -> None:
        self._scopes: list[Mapping[str, str]] = [{"xml": _XML, "": ""}]

    def walk(self, packet: bytes) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self.text
        try:
            parser.Parse(packet, True)
        except expat.ExpatError as error:
            raise XmpUnreadable(str(error)) from error

    def name_of(self, qualified: str, *, is_attribute: bool = False) -> Name:
        prefix, colon, local = qualified.rpartition(":")
        if is_attribute and not colon:
            return "", local
        return self._scopes[-1].get(prefix, ""), local

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def end(self, qualified: str) -> None:
        raise NotImplementedError

    def text(self, text: str) -> None:
        raise NotImplementedError

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        if len(self._scopes) > _MOST_DEPTH:
            raise XmpUnreadable("nested too deep")
        declared = {
            name.partition(":")[2]: value
            for name, value in attributes.items()
            if name == "xmlns" or name.startswith("xmlns:")
        }
        self._scopes.append({**self._scopes[-1], **declared} if declared else self._scopes[-1])
        self.start(qualified, attributes)

    def _end(self, qualified: str) -> None:
        self.end(qualified)
        self._scopes.pop()


class _CreditReader(_Reader):
    """Properties come as elements, with their values in list items or bare, or as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self._path: list[Name] = []
        self._text = ""
        self._rights: list[str] = []
        self._creators: list[str] = []

    def read(self, packet: bytes) -> Credit:
        self.walk(packet)
        return Credit("".join(self._rights[:1]), tuple(dict.fromkeys(self._creators))[:_MOST_ARTISTS])

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        self._path.append(self.name_of(qualified))
        self._text = ""
        for name, value in attributes.items():
            self._take({self.name_of(name, is_attribute=True)}, value)

    def end(self, qualified: str) -> None:
        self._take(set(self._path), self._text)
        self._path.pop()
        self._text = ""

    def text(self, text: str) -> None:
        self._text += text

    def _take(self, names: set[Name], text: str) -> None:
        value = text.strip()[:_MOST_TEXT]
        if value and not names.isdisjoint(_RIGHTS):
            self._rights.append(value)
        elif value and not names.isdisjoint(_CREATOR):
            self._creators.append(value)


class _Filter(_Reader):
    """Writes the packet again, without the elements and attributes that are dropped."""

    def __init__(self, *, keep_position: bool) -> None:
        super().__init__()
        self._keep_position = keep_position
        self._parts: list[str] = []
        self._dropped = 0  # levels of an element that is left out
        self._in_orientation = False

    def read(self, packet: bytes) -> str:
        self.walk(packet)
        return "".join(self._parts)

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = self.name_of(qualified)
        if self._dropped or self._is_dropped(name):
            self._dropped += 1
            return
        self._in_orientation = name == _ORIENTATION
        self._parts.append(f"<{qualified}{''.join(self._written(*pair) for pair in attributes.items())}>")
        if self._in_orientation:
            self._parts.append("1")

    def end(self, qualified: str) -> None:
        if self._dropped:
            self._dropped -= 1
            return
        self._in_orientation = False
        self._parts.append(f"</{qualified}>")

    def text(self, text: str) -> None:
        if not self._dropped and not self._in_orientation:
            self._parts.append(_escaped(text))

    def _written(self, qualified: str, value: str) -> str:
        name = self.name_of(qualified, is_attribute=True)
        if self._is_dropped(name) and not qualified.startswith("xmlns"):
            return ""
        return f" {qualified}={_quoted('1' if name == _ORIENTATION else value)}"

    def _is_dropped(self, name: Name) -> bool:
        word = name[1].lower()
        return name in _NEVER or (not self._keep_position and any(part in word for part in _POSITION_WORDS))


def _refuse(*_: object) -> None:
    raise XmpUnreadable("it has a document type")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    """A value in double quotes; its line breaks would else be read as spaces."""
    return f'"{_escaped(text).replace(chr(34), "&quot;").replace(chr(10), "&#10;").replace(chr(13), "&#13;")}"'
