"""``imgserve sign``: URLs for a mounted dialect, signed with the keys of its settings, or of files.

With the settings, the mount's own parser reads the URL before it is printed, so what is printed will be answered.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgserve.cli import output
from imgserve.client.errors import OptionInvalid
from imgserve.client.urls import ImgproxyUrls, ThumborUrls
from imgserve.engine.config import MountConfig
from imgserve.errors import ImgserveError, using
from imgserve.request.dialects.dialect import Dialect, Negotiable, UrlRefused
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.sources import Sources
from imgserve.request.dialects.thumbor.dialect import Thumbor
from imgserve.request.dialects.thumbor.dialect import of as thumbor_of
from imgserve.request.faults import RequestInvalid
from imgserve.settings import load

Urls = ImgproxyUrls | ThumborUrls
Check = Callable[[str], None]
_EXAMPLES = {"imgproxy": "rs:fill:300:200 q:80", "thumbor": "fit-in 300x200 smart 'quality(80)'"}


class UrlNotMade(ImgserveError):
    """No URL can be made of these keys, this source and these options."""


def add(parser: argparse.ArgumentParser) -> None:
    dialects = parser.add_subparsers(dest="dialect", metavar="DIALECT", required=True)
    for name, example in _EXAMPLES.items():
        about = f"print a URL of {name} for a picture"
        command = dialects.add_parser(name, help=about, description=f"{about}; options as in {example}")
        command.add_argument("source", metavar="URL", help="the picture's URL, or name, as the mount takes it")
        about = f"as in a path: {example}; behind -- if one begins with -"
        command.add_argument("words", nargs="*", metavar="OPTION", help=about)
        key = "in hexadecimal" if name == "imgproxy" else "as text"
        about = f"file with the key, {key} (default: that of the mount in the settings)"
        command.add_argument("--key-file", type=Path, metavar="FILE", help=about)
        if name == "imgproxy":
            command.add_argument("--salt-file", type=Path, metavar="FILE", help="file with the salt, in hexadecimal")
            command.add_argument("--plain", action="store_true", help="leave the source readable, not in base64")
        about = "the server's public URL, which is printed too; beside --key-file that of the mount"
        command.add_argument("--base", default="", metavar="URL", help=about)
        about = "print the value of a srcset: a URL for each of these widths"
        command.add_argument("--srcset", type=_widths, metavar="320,640", help=about)
        load.add_flags(command, ("config",))
        command.set_defaults(run=_sign)


def _widths(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected widths such as 320,640,1280, got {text!r}")
    return [int(part) for part in parts]


def _sign(flags: argparse.Namespace) -> int:
    try:
        has_files = flags.key_file is not None or getattr(flags, "salt_file", None) is not None
        urls, check = (_of_files(flags), None) if has_files else _of_settings(flags)
        if flags.srcset is None:
            made = urls.of_words(flags.source, flags.words)
        else:
            made = urls.srcset_of_words(flags.source, flags.srcset, flags.words)
        if check is not None:
            for candidate in made.split(", "):
                check(candidate.partition(" ")[0])
    except ImgserveError as error:
        output.complain(error.sentence())
        return output.FAILED
    output.say(made)
    return output.DONE


def _of_files(flags: argparse.Namespace) -> Urls:
    """Raises OptionInvalid, FileUnusable."""
    if flags.dialect == "thumbor":
        return ThumborUrls(flags.base, _secret(flags.key_file, "--key-file"))
    if flags.key_file is None or flags.salt_file is None:
        raise OptionInvalid("expected --key-file and --salt-file together")
    key, salt = _secret(flags.key_file, "--key-file"), _secret(flags.salt_file, "--salt-file")
    return ImgproxyUrls(flags.base, key, salt, is_plain=flags.plain)


def _secret(path: Path, option: str) -> str:
    """The first of several. Raises FileUnusable, OptionInvalid."""
    with using(f"the file {path}", option):
        words = path.read_text(encoding="utf-8", errors="replace").replace(",", " ").split()
    if not words:
        raise OptionInvalid(f"{option}: expected a key in {path}, which is empty")
    return words[0]


def _of_settings(flags: argparse.Namespace) -> tuple[Urls, Check]:
    """What makes URLs, and what raises UrlNotMade for one that the mount would refuse.

    Raises SettingsInvalid, UrlNotMade, OptionInvalid.
    """
    config = load.load(flags, is_look=True).get
    imgproxy, thumbor = config.imgproxy, config.thumbor
    is_imgproxy = flags.dialect == "imgproxy"
    mount, keys = (imgproxy.mount, imgproxy.grammar.keys) if is_imgproxy else (thumbor.mount, thumbor.grammar.keys)
    if not mount.path:
        hint = f"add it, or name the key with --key-file{' and --salt-file' * is_imgproxy}"
        raise UrlNotMade(f"the settings have no mount [get.{flags.dialect}] with a path", hint)
    if not all(secret.text for secret in (*keys, *(imgproxy.grammar.salts if is_imgproxy else ()))):
        hint = "run it as the server's user, or name the key with --key-file"
        raise UrlNotMade(f"this user cannot read the key of [get.{flags.dialect}]", hint)
    base = flags.base.rstrip("/") + mount.path.rstrip("/")
    dialect: Dialect[Any]
    if is_imgproxy:
        dialect = Imgproxy(imgproxy.grammar, allow_unsigned=mount.allow_unsigned)
        return ImgproxyUrls.of(imgproxy.grammar, base, is_plain=flags.plain), _check_of(mount, dialect, base)
    dialect = thumbor_of(thumbor.grammar, allow_unsigned=mount.allow_unsigned)
    return ThumborUrls.of(thumbor.grammar, base), _check_of(mount, dialect, base, Thumbor.default_scheme)


def _check_of(mount: MountConfig, dialect: Dialect[Any], base: str, default_scheme: str = "") -> Check:
    sources = Sources.of(
        mount.sources,
        mount.names,
        mount.base_url,
        default_scheme=default_scheme,
        is_open=not mount.sources and not mount.allow_unsigned,
    )

    def check(url: str) -> None:
        try:
            sources.judge(dialect.parse(url.removeprefix(base), Negotiable(), time.time()).source)
        except UrlRefused as error:
            raise UrlNotMade(f"the mount would refuse this URL: {error.detail}") from error
        except RequestInvalid as error:
            reasons = "; ".join(fault.reason() for fault in error.faults)
            raise UrlNotMade(f"the mount would refuse this source: {reasons}") from error

    return check
