"""The destination of a result: a template with open tags, and the ``Destination`` once their values are filled in.

The APIs make templates, ``job.resolve`` fills in the tags, transfers and the queue use the result. A form's URL is
split as docs/reference says: behind the authority, the last colon separates the page's URL from the file name.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

import msgspec

from imgserve.request import tags, url
from imgserve.request.access import NOTHING, Access
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.protocols import WRITING, DestinationKind, Writing
from imgserve.request.tags import TagValues, Vocabulary

FormSuccess = Literal["any", "redirect"]


_NO_VALUE = {
    "source_ext": "the source's name has no extension: write .jpg or the like",
    "basename": "the source's URL ends without a name: write one here",
}


class Destination(msgspec.Struct, frozen=True):
    """One place to write to, tags filled in.

    ``shown`` is the URL as its principal wrote it, tags filled in: only that principal gets it back. ``url`` is for the
    transfer: the file's, the FTP target's, the PUT target's, or the form's page.
    ``path`` is percent-decoded for file and stays encoded for the others (a form's: the page's).
    ``name`` and ``field`` are a form's file name (decoded) and file field. ``key`` identifies the place: scheme,
    lower-case host, real port, normalised path, no userinfo and no signature parameters; a form's adds field and name.
    ``form_success``: the answers of a form's site that count as taken, all good ones or redirects only.
    ``has_no_type``: a PUT goes without Content-Type. ``public_url``: where a browser finds the result, if the settings
    say so.
    Both URLs may hold a password and are never logged; ``repr`` shows kind and host.
    """

    kind: DestinationKind
    shown: str
    url: str
    host: str
    port: int
    path: str
    key: str
    name: str = ""
    field: str = ""
    form_success: FormSuccess = "any"
    has_no_type: bool = False
    access: Access | msgspec.UnsetType = msgspec.UNSET
    public_url: str | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return f"Destination({self.kind} {self.host})"

    @property
    def sends(self) -> Access:
        return self.access or NOTHING

    @property
    def writing(self) -> Writing:
        return WRITING[self.kind]

    @property
    def can_delete(self) -> bool:
        return _can_delete(self.kind, self.shown)

    @property
    def origin(self) -> str:
        """The server that is written to: scheme, host and port; the same for all files."""
        return origin_of(self.key)

    @property
    def user(self) -> str:
        """The user name that it is written with; empty for none, and for a file."""
        return url.user_of(self.url)

    @property
    def extension(self) -> str:
        """The extension of the file to be written, without its dot; empty when there is none."""
        name = self.name or self.path.rpartition("/")[2]
        return tags.split_name(name if self.writing.is_name_decoded else url.with_dots(name))[1]


def origin_of(key: str) -> str:
    """The part of a destination's key that names whom to speak to."""
    scheme, colons, rest = key.partition("://")
    return f"{scheme}{colons}{rest.partition('/')[0]}"


def hosts_of(keys: Iterable[str]) -> str:
    """The hosts of destinations in one text: sorted, one space between."""
    return " ".join(sorted({origin_of(key) for key in keys}))


class DestinationTemplate(msgspec.Struct, frozen=True):
    """A destination with open tags.

    ``field`` is a form's file field; ``shown`` is the URL as written. ``protocol`` is the one whose tags it has.
    """

    kind: DestinationKind
    shown: str
    field: str = ""
    # Left out of the JSON unless set: a request must keep the digest that earlier versions gave it.
    form_success: Literal["redirect"] | msgspec.UnsetType = msgspec.UNSET
    has_no_type: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    protocol: Literal["v1"] | msgspec.UnsetType = msgspec.UNSET
    access: Access | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return f"DestinationTemplate({self.kind})"

    @property
    def sends(self) -> Access:
        return self.access or NOTHING

    @property
    def can_delete(self) -> bool:
        return _can_delete(self.kind, self.shown)

    @property
    def can_ask(self) -> bool:
        """False where nobody can learn what lies there: at a form, and by a presigned URL."""
        return not WRITING[self.kind].is_page and not url.has_signature(self.shown)

    @property
    def vocabulary(self) -> Vocabulary:
        return tags.NATIVE if self.protocol == "v1" else tags.CLASSIC

    @property
    def has_tags(self) -> bool:
        return tags.BEGIN in self.shown

    @property
    def uses(self) -> frozenset[str]:
        """The fields of ``TagValues`` that it takes."""
        return tags.used_in(self.shown, self.vocabulary)

    @property
    def awaits_result(self) -> bool:
        """Whether policy needs the result's values first: a file's whole path decides."""
        return url.protocol_of(self.shown).is_local and not self.uses.isdisjoint(tags.OF_RESULT)

    def fill(self, values: TagValues) -> Destination:
        """The place for one result. Raises RequestInvalid when the filled text is no place to write to."""
        if not self.has_tags:
            values = tags.EXAMPLE  # the place is the same for all of them, and known from the first check
        try:
            return _filled(self, values)
        except url.UrlInvalid as error:
            raise RequestInvalid(Fault("destination_invalid", note=str(error))) from None


def _can_delete(kind: DestinationKind, shown: str) -> bool:
    """False for a form and for a presigned URL, which allows this one PUT and no DELETE."""
    return WRITING[kind].can_delete and not url.has_signature(shown)


def check_text(text: str, vocabulary: Vocabulary = tags.CLASSIC) -> None:
    """Check the tags in a destination's URL. Raises RequestInvalid with a fault for each wrong one."""
    try:
        faults = tags.faults_in(url.cut(text)[1], vocabulary)
    except url.UrlInvalid:
        return  # ``fill`` reports it
    if faults:
        raise RequestInvalid(*faults)


@lru_cache(maxsize=256)  # intake fills the same template for several checks
def _filled(template: DestinationTemplate, values: TagValues) -> Destination:
    authority, rest = url.cut(template.shown)
    if not WRITING[template.kind].is_page:
        text = authority + _with_values(rest, values, template, is_name=url.protocol_of(authority).names_file)
        parsed = url.parse(text)
        return Destination(
            template.kind, text, parsed.text, parsed.host, parsed.port, parsed.target, parsed.key,
            has_no_type=bool(template.has_no_type), access=template.access,
        )  # fmt: skip
    page, colon, name = rest.rpartition(":")
    if not colon:
        raise url.UrlInvalid("expected <page URL>:<file name> for an upload form, got no file name")
    if "/" in name:
        raise url.UrlInvalid("expected <page URL>:<file name>, got a slash in the file name or no file name at all")
    page = _with_values(page, values, template, is_name=False)
    name = _with_values(name, values, template, is_name=True)
    parsed, decoded = url.parse(authority + page), url.decode_name(name)
    if not decoded:
        raise url.UrlInvalid("expected a file name after the last colon")
    key = f"{parsed.key}#{quote(template.field, safe='')}:{quote(decoded, safe='')}"
    return Destination(
        template.kind, f"{authority}{page}:{name}", parsed.text, parsed.host, parsed.port, parsed.path, key,
        name=decoded, field=template.field, form_success=template.form_success or "any",
        access=template.access,
    )  # fmt: skip


def _with_values(text: str, values: TagValues, template: DestinationTemplate, *, is_name: bool) -> str:
    if tags.BEGIN not in text:
        return text
    vocabulary = template.vocabulary
    used = {field: str(getattr(values, field)) for field in tags.used_in(text, vocabulary)}
    _check_empty({field for field, value in used.items() if not value}, template)
    if is_name and any(re.search(rb"[/\0]", unquote_to_bytes(value)) for value in used.values()):
        raise url.UrlInvalid("the source's name holds an encoded slash or NUL, which cannot be part of a file name")
    filled = tags.fill(text, values, vocabulary)
    path = filled.partition("?")[0].partition("#")[0]
    # A value alone may be dots, as the basename of "...png": whole segments count.
    if used and any(url.with_dots(segment) in (".", "..") for segment in path.split("/")):
        raise url.UrlInvalid("a tag's value makes a path segment . or ..")
    return filled


def _check_empty(fields: set[str], template: DestinationTemplate) -> None:
    """Raises UrlInvalid for a tag without a value."""
    if not template.protocol:
        fields &= {"source_ext"}  # the original protocol takes an empty name
    for field in sorted(fields):
        tag = next(tag for tag, own in template.vocabulary.items() if own == field)
        raise url.UrlInvalid(f"{{${tag}}} is empty, since {_NO_VALUE.get(field, 'nothing is known for it')}")
