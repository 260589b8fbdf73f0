"""A mounted dialect: its place, its grammar, and whose pictures it shows. ``build`` makes them from the settings."""

import re
import string
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from imgserve.engine.config import MountConfig
from imgserve.request.access import Access
from imgserve.request.dialects.dialect import Dialect
from imgserve.request.dialects.sources import Sources
from imgserve.request.encode import Format
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.principal import Principal, id_of_mount
from imgserve.request.protocols import SCHEMES
from imgserve.request.source import Source

_AUTHORITY = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*+://[^/]*")


class Mount(msgspec.Struct, frozen=True):
    """``version`` stands for everything in the settings that its pictures depend on: another one makes others. Only
    the bytes of named pictures, here ``pictures``, are not in it.

    ``formats`` and ``takes_hints``: what headers may choose. Parameters are the dialect's own; only the dialect reads
    them. ``names_source``: headers of a picture have its source's name as the URL gave it.
    """

    name: str
    dialect: Dialect[Any]
    sources: Sources
    config: MountConfig
    formats: frozenset[Format] = frozenset()
    takes_hints: bool = False
    version: str = ""
    pictures: tuple[str, ...] = ()
    names_source: bool = False

    def source_of(self, name: str) -> Source:
        """The source that a URL names. Raises RequestInvalid: the mount does not show it."""
        source = self.sources.judge(name)
        if not self.config.credential or not SCHEMES[source.scheme].takes_credential:
            return source
        return msgspec.structs.replace(source, access=Access(credential=self.config.credential))

    @property
    def principal(self) -> Principal:
        """It asks as one principal, with a quota beside the keys."""
        return Principal(id_of_mount(self.name), self.name, has_quota=True)


def located(mounts: Iterable[Mount], text: str) -> tuple[Mount, str]:
    """The mount of a URL or of its path, and what its dialect reads of it. Raises RequestInvalid.

    A host may be any: the server may have other names in front of a proxy.
    """
    # As a browser sends it.
    text = quote(text, safe=string.punctuation, errors="replace").partition("#")[0].partition("?")[0]
    path = _AUTHORITY.sub("", text)
    by_length = sorted(mounts, key=lambda mount: len(mount.config.path), reverse=True)
    for mount in by_length:
        public = mount.config.public_url.rstrip("/")
        if public and text.startswith(f"{public}/"):
            return mount, text.removeprefix(public)
    for mount in by_length:
        beginning = mount.config.path.rstrip("/")
        if path.startswith(f"{beginning}/"):
            return mount, path.removeprefix(beginning)
    paths = ", ".join(mount.config.path for mount in by_length) or "no dialect is mounted here"
    raise RequestInvalid(
        Fault("field_invalid", note=f"expected a URL, or its path, that begins with a mount's: {paths}")
    )
