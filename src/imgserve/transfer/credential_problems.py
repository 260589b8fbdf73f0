"""Finds credentials of the settings that cannot work, each by itself and beside the others.

Called by ``config``, and by the settings.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from imgserve.request import access, webhook_secret
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.protocols import SCHEMES
from imgserve.request.urlprefix import UrlPrefix
from imgserve.setting import Problem
from imgserve.transfer.config import CredentialConfig, CredentialType

_OWN_FIELDS: Mapping[str, CredentialType] = {
    "user": "basic", "header": "header", "access_key_id": "s3", "endpoint": "s3", "region": "s3", "addressing": "s3",
    "is_default": "webhook",
}  # fmt: skip
_NEEDED: Mapping[CredentialType, str] = {"basic": "user", "header": "header", "s3": "access_key_id"}
_PREFIX = "beginning of a URL such as https://storage.example.com/pictures/"
_VISIBLE = re.compile(r"[!-~]+")
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def problems_of(config: CredentialConfig) -> Iterator[Problem]:
    """No sentence shows the secret."""
    if fault := _SECRETS[config.type](config.secret.text):
        yield Problem("secret", fault)
    yield from _of_type(config)
    yield from _of_urls(config)
    if ":" in config.user or (config.user and not access.VALUE.fullmatch(config.user)):
        yield Problem("user", "expected visible ASCII characters without a colon")
    if config.header and not access.may_log_in(config.header):
        yield Problem("header", "expected the name of a header such as X-Api-Key, none that imgserve sets")
    if config.region and not _REGION.fullmatch(config.region):
        yield Problem("region", "expected a region such as eu-central-1")


def _of_type(config: CredentialConfig) -> Iterator[Problem]:
    """Fields that the type does not have, or cannot do without."""
    for field, owner in _OWN_FIELDS.items():
        if getattr(config, field) and config.type != owner:
            yield Problem(field, f"belongs to a credential of the type {owner}")
    if config.type == "webhook" and config.public_url:
        yield Problem("public_url", "belongs to a credential of destinations")
    needed = _NEEDED.get(config.type)
    if needed and not getattr(config, needed):
        yield Problem("type", f"expected {needed} beside it")


def _of_urls(config: CredentialConfig) -> Iterator[Problem]:
    if not config.urls:
        yield Problem("urls", f"expected at least one {_PREFIX}")
    for text in config.urls:
        if fault := _prefix_fault(text, config.type):
            yield Problem("urls", fault)
    for field in ("public_url", "endpoint"):
        text = getattr(config, field)
        if text and not _is_base(text):
            yield Problem(field, "expected an http(s) URL without user name and query")


def problems_together(configs: Mapping[str, CredentialConfig], *, are_several: bool) -> Iterator[tuple[str, Problem]]:
    """Those of credentials beside each other, by their names. ``are_several``: there are keys of several principals."""
    for name, config in configs.items():
        if are_several and not config.principals:
            sentence = "expected principals beside it, the names of keys whose jobs may use it: there are several keys"
            yield name, Problem("type", sentence)
    defaults: list[tuple[str, frozenset[str]]] = []
    for name, config in configs.items():
        own = frozenset(config.principals)
        for other, others in defaults if config.is_default else ():
            if not own or not others or own & others:
                yield name, Problem("is_default", f"[credential.{other}] is the default of the same principals already")
        if config.is_default:
            defaults.append((name, own))


def fault_of_bucket(place: str) -> str:
    """What was expected instead of a place for the server's own objects; empty if it is one."""
    try:
        scheme = SCHEMES.get(UrlPrefix.parse(place).scheme)
    except ValueError:
        scheme = None
    if scheme is not None and scheme.has_bucket:
        return ""
    return "a URL such as s3://bucket/uploads"


def fault_of_uploads(place: str, configs: Mapping[str, CredentialConfig]) -> str:
    """What is wrong with the credentials for the uploads below ``place``; empty if nothing is.

    A job that may use such a credential could read the pictures of others, and write over them.
    """
    own = {
        name: config
        for name, config in configs.items()
        if config.type == "s3" and any(UrlPrefix.parse(text).names(f"{place}/id") for text in config.urls)
    }
    if not own:
        return f"expected a [credential.NAME] of the type s3 that is for {place}"
    for name, config in own.items():
        if config.principals != (OPERATOR_ID,):
            return f'expected principals = ["{OPERATOR_ID}"] in [credential.{name}], so that no job can use it'
    return ""


def _prefix_fault(text: str, owner: CredentialType) -> str:
    try:
        protocol = SCHEMES[UrlPrefix.parse(text).scheme]
    except ValueError:
        return f"expected a {_PREFIX}, without user name and query"
    if owner == "s3":
        return "" if protocol.has_bucket else "expected the beginning of a URL such as s3://bucket/pictures/"
    return "" if protocol.source == "http" else "expected the beginning of an http(s) URL"


def _is_base(text: str) -> bool:
    try:
        prefix = UrlPrefix.parse(text)
    except ValueError:
        return False
    return prefix.scheme in SCHEMES and SCHEMES[prefix.scheme].source == "http"


def _header_fault(text: str) -> str:
    return "" if access.VALUE.fullmatch(text) else "expected one line of visible ASCII characters"


def _token_fault(text: str) -> str:
    return "" if _VISIBLE.fullmatch(text) else "expected one line of visible ASCII characters without spaces"


def _password_fault(text: str) -> str:
    return "" if text.isprintable() else "expected one line of printable text"


def _webhook_fault(text: str) -> str:
    is_right = all(webhook_secret.key_of(secret) is not None for secret in webhook_secret.secrets_in(text))
    return "" if is_right else f"expected {webhook_secret.EXPECTED}, one a line"


_SECRETS: Mapping[CredentialType, Callable[[str], str]] = {
    "bearer": _token_fault, "basic": _password_fault, "header": _header_fault, "s3": _token_fault,
    "webhook": _webhook_fault,
}  # fmt: skip
