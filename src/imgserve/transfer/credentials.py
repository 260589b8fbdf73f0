"""The credentials of the settings: who may use which for what, and what goes along with a request.

In: the name that a job gave, its principal, and a URL. Out: secrets, for the transfer or the signature alone. A fault
does not tell whether there is such a credential. SIGHUP replaces them.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Literal, Self

import msgspec

from imgserve.request import url, webhook_secret
from imgserve.request.access import Access
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.urlprefix import UrlPrefix, path_of
from imgserve.transfer.client import location
from imgserve.transfer.client.along import Along
from imgserve.transfer.config import Addressing, CredentialConfig, CredentialType
from imgserve.transfer.faults import CredentialNotAllowed

Use = Literal["transfer", "webhook"]

_WEB: frozenset[CredentialType] = frozenset({"bearer", "basic", "header"})
_OBJECTS: frozenset[CredentialType] = frozenset({"s3"})
_WEBHOOK: frozenset[CredentialType] = frozenset({"webhook"})
_NONE: frozenset[CredentialType] = frozenset()
_NEEDED = (_OBJECTS, _WEBHOOK)
# Fields that change nothing in what a host sends.
APART = frozenset({"secret", "urls", "principals", "public_url", "is_default"})
_HINT = "name one that the server's settings have for both"


class S3Access(msgspec.Struct, frozen=True):
    """``endpoint`` empty: AWS. ``name`` is the credential's."""

    name: str
    access_key_id: str
    secret_access_key: str
    endpoint: str
    region: str
    addressing: Addressing

    def __repr__(self) -> str:
        return f"S3Access({self.name})"

    @property
    def url(self) -> str:
        """The endpoint's."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"


class _Credential(msgspec.Struct, frozen=True):
    """One of the settings, its prefixes parsed. With another ``identity`` the same URL may have another picture."""

    name: str
    config: CredentialConfig
    prefixes: tuple[UrlPrefix, ...]
    identity: str

    @classmethod
    def of(cls, name: str, config: CredentialConfig) -> Self:
        fields = {field: value for field, value in msgspec.structs.asdict(config).items() if field not in APART}
        digest = blake2b(msgspec.json.encode(fields, order="sorted"), digest_size=8).hexdigest()
        return cls(name, config, tuple(map(UrlPrefix.parse, config.urls)), f"{name}-{digest}")

    def is_for(self, text: str) -> bool:
        return any(prefix.names(text) for prefix in self.prefixes)


class Credentials:
    """``are_several``: whether there are keys of several principals, which each credential must name then."""

    def __init__(
        self, configs: Mapping[str, CredentialConfig] | None = None, are_several: Callable[[], bool] = lambda: False
    ) -> None:
        self._are_several = are_several
        self.replace(configs or {})

    def __len__(self) -> int:
        return len(self._known)

    def replace(self, configs: Mapping[str, CredentialConfig]) -> None:
        """Holds from the next request on. Raises ValueError where ``problems_of`` finds one."""
        self._known = {name: _Credential.of(name, config) for name, config in configs.items()}

    def check(self, access: Access, principal: str, text: str, use: Use = "transfer") -> None:
        """Whether ``principal`` may use the credential of ``access`` for this URL. Raises CredentialNotAllowed.

        Without a name most transfers need none; one of a bucket, and a webhook, take the first that is allowed.
        """
        kinds = _kinds_for(text, use)
        if not access.credential and kinds not in _NEEDED:
            return
        try:
            self._one(access.credential, principal, kinds, text)
        except CredentialNotAllowed as error:
            error.is_retryable = False  # at intake: nothing has been accepted yet
            raise

    def identity(self, access: Access, principal: str, text: str) -> str:
        """Identifies the credential of a transfer by all of its fields but secret and rights. Empty if it needs none.

        Raises CredentialNotAllowed.
        """
        kinds = _kinds_for(text, "transfer")
        if not access.credential and kinds not in _NEEDED:
            return ""
        return self._one(access.credential, principal, kinds, text).identity

    def is_allowed(self, name: str, principal: str, text: str) -> bool:
        """Whether ``principal`` may use the credential of this name for a transfer from or to this URL."""
        return any(self._allowed(name, principal, _kinds_for(text, "transfer"), text))

    def along(self, access: Access, principal: str, text: str) -> Along | None:
        """What goes along with requests to the origin of this http(s) URL; None: nothing.

        Raises CredentialNotAllowed, as all but ``check`` a fault that heals: a job was accepted with this name.
        """
        if not access.headers and not access.credential:
            return None
        headers = tuple(f"{name}: {value}" for name, value in access.headers)
        if not access.credential:
            return Along(location.origin(text), headers)
        credential = self._one(access.credential, principal, _WEB, text)
        return Along(location.origin(text), headers, _line(credential.config), credential.is_for)

    def s3_for(self, name: str, principal: str, text: str) -> S3Access:
        """``name`` empty: the first in the settings that is allowed. Raises CredentialNotAllowed."""
        credential = self._one(name, principal, _OBJECTS, text)
        config = credential.config
        return S3Access(
            credential.name,
            config.access_key_id,
            config.secret.text,
            config.endpoint,
            config.region or "us-east-1",
            config.addressing or ("path" if config.endpoint else "virtual"),
        )

    def webhook_secrets(self, name: str, principal: str, text: str) -> tuple[str, ...]:
        """All of them sign. ``name`` empty: the principal's default. ``text``: the webhook's URL, which is judged.

        Raises CredentialNotAllowed.
        """
        return webhook_secret.secrets_in(self._one(name, principal, _WEBHOOK, text).config.secret.text)

    def public_url(self, access: Access, principal: str, text: str) -> str:
        """Where a browser finds what lies at this URL; empty where no credential tells.

        Raises CredentialNotAllowed.
        """
        kinds = _kinds_for(text, "transfer")
        if not access.credential and kinds not in _NEEDED:
            return ""
        base = self._one(access.credential, principal, kinds, text).config.public_url
        return f"{base.removesuffix('/')}{path_of(text)}" if base else ""

    def _one(self, name: str, principal: str, kinds: frozenset[CredentialType], text: str) -> _Credential:
        """Raises CredentialNotAllowed."""
        allowed = list(self._allowed(name, principal, kinds, text))
        if not allowed:
            raise CredentialNotAllowed("there is no such credential for this key and URL", _HINT, is_retryable=True)
        return next((one for one in allowed if one.config.is_default), allowed[0])

    def _allowed(self, name: str, principal: str, kinds: frozenset[CredentialType], text: str) -> Iterator[_Credential]:
        for credential in self._known.values():
            config = credential.config
            is_asked_for = config.type in kinds and name in ("", credential.name)
            if is_asked_for and self._may_use(principal, config.principals) and credential.is_for(text):
                yield credential

    def _may_use(self, principal: str, principals: tuple[str, ...]) -> bool:
        return principal in principals or principal == OPERATOR_ID or not (principals or self._are_several())


def _kinds_for(text: str, use: Use) -> frozenset[CredentialType]:
    if use == "webhook":
        return _WEBHOOK
    protocol = url.protocol_of(text)
    if not protocol.takes_credential:
        return _NONE
    return _WEB if protocol.source == "http" else _OBJECTS


def _line(config: CredentialConfig) -> str:
    secret = config.secret.text
    if config.type == "basic":
        return f"Authorization: Basic {base64.b64encode(f'{config.user}:{secret}'.encode()).decode()}"
    return f"{config.header}: {secret}" if config.type == "header" else f"Authorization: Bearer {secret}"
