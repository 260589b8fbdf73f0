"""The settings of GET on the fly: a table for each dialect, and the cache. Read by ``settings``."""

import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import Annotated

import msgspec

from imgserve.engine.config import HintedMountConfig, MountConfig, NegotiatingMountConfig
from imgserve.request.dialects.iiif.config import Config as IiifConfig
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.setting import Problem, Section, Setting, Texts

# First segments of the API's own paths.
_RESERVED = frozenset({"v1", "health", "metrics"})
# One that no client, proxy or parser writes in another way.
_PATH = re.compile(r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?")
_NO_PICTURE = "expected the name of a picture of the settings, a table [picture.NAME]"
_NEGOTIABLE = frozenset({"avif", "webp"})
# Words in place of a signature, as the original servers' users write them.
_UNSIGNED = frozenset({"unsafe", "insecure", "_"})


class ImgproxyMount(msgspec.Struct, frozen=True):
    mount: Annotated[HintedMountConfig, Section()] = HintedMountConfig()
    grammar: Annotated[ImgproxyConfig, Section()] = ImgproxyConfig()

    def problems(self) -> tuple[Problem, ...]:
        return (*_problems(self.mount, has_keys=bool(self.grammar.keys)), *_not_negotiable(self.mount))


class IiifMount(msgspec.Struct, frozen=True):
    mount: Annotated[MountConfig, Section()] = MountConfig()
    grammar: Annotated[IiifConfig, Section()] = IiifConfig()

    def problems(self) -> tuple[Problem, ...]:
        if not self.mount.path or self.mount.allow_unsigned:
            return tuple(_problems(self.mount, has_keys=False))
        sentence = "expected allow_unsigned = true with a list of sources, since URLs of IIIF have no signature"
        return (Problem("mount.path", sentence),)


class ThumborMount(msgspec.Struct, frozen=True):
    mount: Annotated[NegotiatingMountConfig, Section()] = NegotiatingMountConfig()
    grammar: Annotated[ThumborConfig, Section()] = ThumborConfig()

    def problems(self) -> tuple[Problem, ...]:
        return (*_problems(self.mount, has_keys=bool(self.grammar.keys)), *_not_negotiable(self.mount))


def _problems(mount: MountConfig, *, has_keys: bool) -> Iterator[Problem]:
    """Of the settings that all dialects share. Those of one that is off mean nothing."""
    if not mount.path:
        return
    if not _PATH.fullmatch(mount.path):
        yield Problem("mount.path", "expected a path such as /images, of letters, digits and - . _ ~ between slashes")
    elif mount.path.split("/")[1] in _RESERVED:
        yield Problem(
            "mount.path", f"expected a path that is not beneath /{mount.path.split('/')[1]}, the server's own"
        )
    if not has_keys and not mount.allow_unsigned:
        # Of the keys: they may be there, and not readable by the user who looks.
        sentence = "expected keys beside the path, or allow_unsigned = true with a list of sources"
        yield Problem("grammar.keys", sentence)
    if mount.public_url and not mount.public_url.startswith(("http://", "https://")):
        yield Problem("mount.public_url", "expected a URL such as https://img.example.com/images")
    if mount.allow_unsigned and not (mount.sources or mount.names or mount.base_url):
        yield Problem("mount.allow_unsigned", "expected sources beside it, the beginnings of URLs that anyone may show")
    from imgserve.request.dialects.sources import problems_of  # every command loads this file

    fields = ("mount.sources", "mount.names", "mount.base_url")
    yield from problems_of(mount.sources, mount.names, mount.base_url, fields)


def _not_negotiable(mount: NegotiatingMountConfig) -> Iterator[Problem]:
    if not _NEGOTIABLE.issuperset(mount.formats) or len(set(mount.formats)) < len(mount.formats):
        yield Problem("mount.formats", f"expected each of {', '.join(sorted(_NEGOTIABLE))} once at most")


class GetConfig(msgspec.Struct, frozen=True):
    # fmt: off
    trusted_proxies: Annotated[Texts, Setting(
        "networks of the proxies in front whose X-Forwarded-For names the client", name="trusted_proxies")] = ()
    # fmt: on
    imgproxy: Annotated[ImgproxyMount, Section("GET: imgproxy", table="get.imgproxy")] = ImgproxyMount()
    thumbor: Annotated[ThumborMount, Section("GET: thumbor", table="get.thumbor")] = ThumborMount()
    iiif: Annotated[IiifMount, Section("GET: IIIF", table="get.iiif")] = IiifMount()

    @property
    def mounts(self) -> dict[str, MountConfig]:
        """Those that are on, by their dialect."""
        every: dict[str, MountConfig] = {
            "imgproxy": self.imgproxy.mount,
            "thumbor": self.thumbor.mount,
            "iiif": self.iiif.mount,
        }
        return {name: mount for name, mount in every.items() if mount.path}

    def problems(self) -> tuple[Problem, ...]:
        problems = [
            Problem("trusted_proxies", "expected networks such as 10.0.0.0/8 or addresses", (index,))
            for index, text in enumerate(self.trusted_proxies)
            if not _is_network(text)
        ]
        return (*problems, *self._collisions())

    def _collisions(self) -> Iterator[Problem]:
        """Of mounts at one path, and of mounts that would take URLs of the mount above them."""
        paths = {name: mount.path.rstrip("/") for name, mount in self.mounts.items()}
        for name, path in paths.items():
            for other, above in paths.items():
                if other == name:
                    continue
                if path == above:
                    if list(paths).index(other) < list(paths).index(name):
                        yield Problem(f"{name}.mount.path", f"expected another path than that of [get.{other}]")
                elif path.startswith(f"{above}/") and self._reads(other, path.removeprefix(above).split("/")[1]):
                    sentence = f"expected a path that is no URL of [get.{other}], which is mounted at {above or '/'}"
                    yield Problem(f"{name}.mount.path", sentence)

    def _reads(self, name: str, segment: str) -> bool:
        """Whether URLs of the dialect may begin with this segment. Those of IIIF begin with any identifier."""
        return name == "iiif" or segment in _UNSIGNED.union(self.imgproxy.grammar.trusted_signatures)

    def drawn_pictures(self, name: str) -> tuple[str, ...]:
        """The named pictures that the pictures of a dialect are drawn with. No other fields name any."""
        watermark = self.imgproxy.grammar.watermark
        return (watermark,) if name == "imgproxy" and watermark else ()

    def unknown_names(self, pictures: Collection[str], credentials: Collection[str]) -> Iterator[tuple[str, Problem]]:
        """Of pictures and credentials that no table of the settings has, each with the dialect's name."""
        for name, mount in self.mounts.items():
            if mount.fallback and mount.fallback not in pictures:
                yield name, Problem("mount.fallback", _NO_PICTURE)
            if mount.credential and mount.credential not in credentials:
                sentence = "expected the name of a credential of the settings, a table [credential.NAME]"
                yield name, Problem("mount.credential", sentence)
            if any(picture not in pictures for picture in self.drawn_pictures(name)):
                yield name, Problem("grammar.watermark", _NO_PICTURE)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
