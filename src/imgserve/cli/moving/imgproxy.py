"""imgproxy's environment file: variables in, a draft of settings out. Called by ``imgserve import-config``."""

import re
from collections.abc import Callable, Mapping
from typing import get_args

from imgserve.cli.moving import environment
from imgserve.cli.moving.draft import Draft
from imgserve.cli.moving.imgproxy_rows import GROUPS, MOUNT, RISKY, SERVER, WITHOUT, Row
from imgserve.cli.moving.places import is_prefix, of_prefixes
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.grammar import Grammar
from imgserve.request.dialects.imgproxy.options.output import FORMATS
from imgserve.request.dialects.imgproxy.options.table import OPTIONS
from imgserve.request.dialects.imgproxy.refused import ImgproxyRefused
from imgserve.request.dialects.imgproxy.settings import PRESET
from imgserve.request.encode import Format

PREFIX = "IMGPROXY_"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_PRESET_NAME = re.compile(r'preset "(.+?)"')
_WRITABLE = get_args(Format)
_OPEN = "name such networks in allow_network, which imgserve does not reach otherwise"
_REDIRECTS = "redirects are followed, each checked by the network's rules: allow only hosts that you trust in sources"


def drafted(text: str) -> Draft:
    """Raises NotImported."""
    own = {name: value for name, value in environment.variables(text).items() if name.startswith(PREFIX)}
    given = {name.removeprefix(PREFIX): value for name, value in own.items() if value}
    draft = Draft("get.imgproxy")
    draft.of_mount("PATH_PREFIX", "path", "/" + given.get("PATH_PREFIX", "").strip("/"))
    _keys(given, draft)
    for name, value in given.items():
        _one(name, value, given, draft)
    if given.get("ALLOW_PRIVATE_SOURCE_ADDRESSES", "true") in _TRUE:
        draft.note(f"{PREFIX}ALLOW_PRIVATE_SOURCE_ADDRESSES", f"private networks are open to imgproxy: {_OPEN}")
    _negotiation(given, draft)
    return draft


def _one(name: str, value: str, given: Mapping[str, str], draft: Draft) -> None:
    whole_name = PREFIX + name
    if name in MOUNT:
        _plain(whole_name, MOUNT[name], f"{draft.mount}.{MOUNT[name].key}", value, draft)
    elif name in SERVER:
        _plain(whole_name, SERVER[name], SERVER[name].key, value, draft)
    elif name in _OWN:
        _OWN[name](whole_name, value, given, draft)
    elif name in RISKY:
        draft.note(whole_name, RISKY[name], is_security=True)
    elif name in WITHOUT:
        draft.note(whole_name, WITHOUT[name])
    elif name not in _TOGETHER:
        group = next((prefix for prefix in GROUPS if name.startswith(prefix)), "")
        unknown = "it is not known here: look up what it allows or forbids, and decide"
        draft.note(whole_name, GROUPS.get(group, unknown), is_security=not group)


def _plain(name: str, row: Row, key: str, value: str, draft: Draft) -> None:
    if row.kind == "flag":
        draft.set(name, key, value in _TRUE)
    elif row.kind == "text":
        draft.set(name, key, value)
    elif row.kind == "list":
        draft.set(name, key, _listed(value))
    else:
        _number(name, key, value, draft, is_whole=row.kind == "whole")


def _number(name: str, key: str, value: str, draft: Draft, *, is_whole: bool) -> None:
    try:
        draft.set(name, key, int(value) if is_whole else float(value))
    except ValueError:
        draft.note(name, f"expected a number, got {value[:40]!r}", is_security="max_" in key)


def _listed(value: str, separator: str = ",") -> list[str]:
    return [part.strip() for part in value.split(separator) if part.strip()]


def _keys(given: Mapping[str, str], draft: Draft) -> None:
    """The server reads the keys from the same variables. Without a pair, URLs are not signed: that needs sources."""
    keys, salts = (_listed(given.get(name, "")) for name in ("KEY", "SALT"))
    if not all(_HEX.fullmatch(one) for one in (*keys, *salts)) or len(keys) != len(salts):
        draft.close(f"{PREFIX}KEY", "expected as many keys as salts, in hexadecimal digits")
    elif keys:
        comment = "The same variables; or name a file of one key a line by key_file and salt_file."
        draft.of_mount(f"{PREFIX}KEY", "key_env", f"{PREFIX}KEY", comment)
        draft.of_mount(f"{PREFIX}SALT", "salt_env", f"{PREFIX}SALT")
    elif given.get("ALLOWED_SOURCES"):
        draft.of_mount(f"{PREFIX}KEY", "allow_unsigned", True, "There is no key, so anybody may ask for any size.")
    else:
        draft.close(f"{PREFIX}KEY", "expected a key and a salt, or a list of sources: else anybody could show anything")


def _sources(name: str, value: str, given: Mapping[str, str], draft: Draft) -> None:
    kept = of_prefixes(_listed(value), given.get("LOCAL_FILESYSTEM_ROOT", ""), draft, name)
    if kept:
        draft.of_mount(name, "sources", kept, "Compared by whole hosts and whole segments of paths.")
    else:
        draft.close(name, "expected a source that can be said here: without a list all would be allowed")


def _local_root(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    beginning = f"file://{value.rstrip('/')}/"
    if not value.startswith("/") or not is_prefix(beginning):
        draft.note(name, "set read_root to the directory, with its whole path, and names.local to its file: URL")
        return
    draft.set(name, "read_root", [value])
    draft.of_mount(name, "names", {"local": beginning}, "For sources such as local:///photo.jpg.")


def _bind(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal():
        draft.note(name, "set host and port: it listens on a TCP port")
        return
    draft.set(name, "port", int(port))
    if host:
        draft.set(name, "host", host.strip("[]"))


def _presets(name: str, value: str, given: Mapping[str, str], draft: Draft) -> None:
    """A preset with an option that is not offered would keep the server from starting."""
    texts = _listed(value, given.get("PRESETS_SEPARATOR", ","))
    separator = given.get("ARGUMENTS_SEPARATOR", ":")
    while texts:
        config = Config(presets=tuple(texts), arguments_separator=separator, allow_security_options=True)
        try:
            Grammar(config, allow_unsigned=False).check_presets()
            break
        except (ImgproxyRefused, ValueError) as error:
            sentence = error.detail if isinstance(error, ImgproxyRefused) else str(error)
            match = _PRESET_NAME.match(sentence)
            wrong = [text for text in texts if match and text.partition("=")[0].strip() == match[1]] or texts[-1:]
            texts = [text for text in texts if text not in wrong]
            draft.note(name, f"left out: {sentence}")
    if texts:
        draft.of_mount(name, "presets", texts)


def _allowed_options(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    names = _listed(value)
    known = [one for one in names if one in OPTIONS or one in PRESET]
    for one in names:
        if one not in known:
            draft.note(name, f"{one} is not offered: URLs with it get 404")
    if known:
        draft.of_mount(name, "allowed_options", known)
    else:
        draft.close(name, "expected an option that is offered: without a list all would be allowed")


def _formats(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    is_skipped = name.endswith("SKIP_PROCESSING_FORMATS")
    known = [one for one in _listed(value) if one in FORMATS and (is_skipped or FORMATS[one] in _WRITABLE)]
    for one in _listed(value):
        if one not in known:
            draft.note(name, f"{one} is left out: it is not {'known' if is_skipped else 'written'} here")
    if known:
        draft.of_mount(name, "skip_processing_formats" if is_skipped else "preferred_formats", known)


def _replacements(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    """Patterns in which ``*`` stands for all but a slash, and is a group."""
    made = []
    for pair in _listed(value, ";"):
        pattern, _, replacement = pair.partition("=")
        expression = "([^/]*)".join(re.escape(part) for part in pattern.split("*"))
        made.append(f"^{expression}=>{replacement}")
    draft.of_mount(name, "url_replacements", made)


def _picture(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    word = "watermark" if "WATERMARK" in name else "fallback"
    draft.set(name, f"picture.{word}.path", value)
    draft.of_mount(name, word, word)


def _no_file(name: str, _value: str, _given: Mapping[str, str], draft: Draft) -> None:
    word = "watermark" if "WATERMARK" in name else "fallback"
    draft.note(name, f"store the picture in a file, name it in [picture.{word}] path, and set {word} of the mount")


def _fallback_status(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    if value == "0":
        draft.note(name, "nothing: the fallback picture has one status for all errors, 200")
    else:
        _number(name, f"{draft.mount}.fallback_status", value, draft, is_whole=True)


def _fallback_ttl(name: str, value: str, given: Mapping[str, str], draft: Draft) -> None:
    value = given.get("TTL", "31536000") if value == "0" else value
    _number(name, f"{draft.mount}.fallback_max_age_s", value, draft, is_whole=True)


def _queue(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    if value != "0":
        _number(name, "max_on_demand_waiting", value, draft, is_whole=True)


def _network(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    if value in _TRUE and not name.endswith("PRIVATE_SOURCE_ADDRESSES"):
        draft.note(name, _OPEN)


def _redirects(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    draft.note(name, _REDIRECTS, is_security=value == "0")


def _certificates(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    if value in _TRUE:
        draft.note(name, "name your own authority in ca_file: certificates are always verified")


def _sanitized(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    if value not in _TRUE:
        draft.note(name, "nothing: scripts are always removed from an SVG")


def _origin(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    draft.origins(name, _listed(value))


def _log_level(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    draft.set(name, "log_level", {"warn": "warning"}.get(value, value))


def _log_format(name: str, value: str, _given: Mapping[str, str], draft: Draft) -> None:
    draft.set(name, "log_format", "json" if value in ("json", "gcp") else "text")


def _negotiation(given: Mapping[str, str], draft: Draft) -> None:
    def is_on(*names: str) -> bool:
        return any(given.get(name) in _TRUE for name in names)

    forced = [one for one in ("avif", "webp") if is_on(f"ENFORCE_{one.upper()}")]
    detected = [
        one
        for one in ("avif", "webp")
        if one in forced or is_on(f"AUTO_{one.upper()}", f"ENABLE_{one.upper()}_DETECTION")
    ]
    if detected:
        draft.of_mount("AUTO_WEBP", "negotiate", detected)
    if forced:
        draft.of_mount("ENFORCE_WEBP", "enforced_formats", forced)


_OWN: dict[str, Callable[[str, str, Mapping[str, str], Draft], None]] = {
    "ALLOWED_SOURCES": _sources,
    "LOCAL_FILESYSTEM_ROOT": _local_root,
    "BIND": _bind,
    "PRESETS": _presets,
    "ALLOWED_PROCESSING_OPTIONS": _allowed_options,
    "PREFERRED_FORMATS": _formats,
    "SKIP_PROCESSING_FORMATS": _formats,
    "URL_REPLACEMENTS": _replacements,
    "WATERMARK_PATH": _picture,
    "WATERMARK_DATA": _no_file,
    "WATERMARK_URL": _no_file,
    "FALLBACK_IMAGE_PATH": _picture,
    "FALLBACK_IMAGE_DATA": _no_file,
    "FALLBACK_IMAGE_URL": _no_file,
    "FALLBACK_IMAGE_HTTP_CODE": _fallback_status,
    "FALLBACK_IMAGE_TTL": _fallback_ttl,
    "REQUESTS_QUEUE_SIZE": _queue,
    "ALLOW_LOOPBACK_SOURCE_ADDRESSES": _network,
    "ALLOW_LINK_LOCAL_SOURCE_ADDRESSES": _network,
    "ALLOW_PRIVATE_SOURCE_ADDRESSES": _network,
    "MAX_REDIRECTS": _redirects,
    "IGNORE_SSL_VERIFICATION": _certificates,
    "SANITIZE_SVG": _sanitized,
    "ALLOW_ORIGIN": _origin,
    "LOG_LEVEL": _log_level,
    "LOG_FORMAT": _log_format,
}
# Read by what stands above, several at a time.
_TOGETHER = frozenset(
    {"KEY", "SALT", "PATH_PREFIX", "NETWORK"}
    | {f"{word}_{one}" for one in ("WEBP", "AVIF") for word in ("AUTO", "ENFORCE")}
    | {f"ENABLE_{one}_DETECTION" for one in ("WEBP", "AVIF")}
)
