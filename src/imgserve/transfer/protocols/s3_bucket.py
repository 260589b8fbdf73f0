"""The objects of one bucket, by obstore: looked at, read, written under a condition, deleted. Called by ``s3``.

All of obstore's faults become those of ``s3_object`` here. A result goes in one PUT, never in parts, so that no
unfinished upload stays behind.
"""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import obstore
from obstore import exceptions
from obstore.store import S3Store

from imgserve.blob import Blob
from imgserve.request.url import protocol_of
from imgserve.telemetry import logs
from imgserve.transfer.client import location
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import S3Access
from imgserve.transfer.protocols.s3_object import (
    NO_OBJECT,
    Denied,
    Expected,
    Missing,
    NotAsExpected,
    StoredObject,
    Unanswered,
)
from imgserve.transfer.version import UNKNOWN, Version, safe

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, PutMode
    from obstore.store import ClientConfig, S3Config, S3Credential

# No object has this ETag, so a store that heeds conditions never writes over it.
_NOBODYS: Expected = '"imgserve"'
_CHUNK_BYTES = 128 * 1024
# obstore has no switch against redirects, nor against the environment's proxies. Hosts beside the endpoint get a proxy
# that cannot be: nobody listens on port 0.
_NO_PROXY = "http://127.0.0.1:0"
# The caller's own time-out comes first.
_NEVER = timedelta(hours=1)
_RIGHTS = "give its key the rights s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
_LOG = "the server's log says more at level debug"


class Reading(NamedTuple):
    """An object that is being read: its size, its version, and its bytes in pieces."""

    size_bytes: int
    version: Version
    pieces: AsyncGenerator[bytes, None]


class Bucket:
    """``server`` has it. ``heeds_conditions``: None until the first write has shown it."""

    def __init__(self, access: S3Access, name: str, config: Config, authorities: bytes = b"") -> None:
        """``authorities``: certificates (PEM) that are trusted beside the system's."""
        self.server = location.origin(access.url)
        self.name = name
        self.heeds_conditions: bool | None = None
        self._store = _store(access, name, config, authorities)

    async def look(self, key: str) -> StoredObject | None:
        """None: there is no such object. Raises Denied, Unanswered."""
        try:
            answer = await obstore.get_async(self._store, key, options={"head": True})
        except FileNotFoundError:
            return None
        except exceptions.BaseError as error:
            self._fail(error)
        return StoredObject.of(answer.meta["e_tag"] or NO_OBJECT, answer.meta["size"], answer.attributes)

    async def read(self, key: str, held: Version = UNKNOWN) -> "Reading | None":
        """None: it is unchanged since ``held``. Raises Missing, Denied, Unanswered, also between pieces."""
        options: GetOptions = {"if_none_match": held.etag} if held.etag else {}
        try:
            answer = await obstore.get_async(self._store, key, options=options)
        except exceptions.NotModifiedError:
            return None
        except (FileNotFoundError, exceptions.BaseError) as error:
            self._fail(error)
        modified = format_datetime(answer.meta["last_modified"].astimezone(UTC), usegmt=True)
        version = Version(safe(answer.meta["e_tag"] or ""), modified)
        return Reading(answer.meta["size"], version, self._pieces(answer))

    async def put(self, key: str, blob: Blob, metadata: Mapping[str, str], expected: Expected) -> str:
        """The ETag of the new object. Raises NotAsExpected, Missing (the bucket), Denied, Unanswered."""
        if self.heeds_conditions is None:
            return await self._first_put(key, blob, metadata, expected)
        return await self._put(key, blob, metadata, _mode(expected) if self.heeds_conditions else "overwrite")

    async def delete(self, key: str) -> None:
        """A missing object counts as deleted. Raises Denied, Unanswered."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except exceptions.BaseError as error:
            self._fail(error)

    async def _first_put(self, key: str, blob: Blob, metadata: Mapping[str, str], expected: Expected) -> str:
        """Write, and learn whether the store heeds conditions: some ignore them, some refuse a request with one."""
        try:
            etag = await self._put(key, blob, metadata, _mode(_NOBODYS))
        except NotAsExpected:
            etag = await self._put(key, blob, metadata, _mode(expected))
            self.heeds_conditions = True
            return etag
        except Unanswered:
            etag = await self._put(key, blob, metadata, "overwrite")
            try:
                return await self._put(key, blob, metadata, _mode(etag))  # the store was in trouble for a moment
            except Unanswered:
                pass
        self.heeds_conditions = False
        logs.event("store_without_conditions", level=logs.WARNING, host=str(self.server), bucket=self.name)
        return etag

    async def _put(self, key: str, blob: Blob, metadata: Mapping[str, str], mode: "PutMode") -> str:
        data = blob.mapped() if blob.size else b""  # no memory can be mapped for no bytes
        try:
            answer = await obstore.put_async(
                self._store, key, data, attributes=dict(metadata), mode=mode, use_multipart=False
            )
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError, exceptions.NotModifiedError):
            raise NotAsExpected from None
        except (FileNotFoundError, exceptions.BaseError) as error:
            self._fail(error)
        return answer["e_tag"] or NO_OBJECT

    async def _pieces(self, answer: "GetResult") -> AsyncGenerator[bytes, None]:
        try:
            async for piece in answer.stream(_CHUNK_BYTES):
                yield piece
        except exceptions.BaseError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise the fault that ``error`` stands for. Its own text is for the operator alone."""
        detail = str(error).partition("\n")[0][:300]
        logs.event("store_failed", level=logs.DEBUG, host=str(self.server), kind=type(error).__name__, detail=detail)
        match error:
            case FileNotFoundError():
                raise Missing(f"{self.server} has no such bucket or object", "check the URL") from None
            case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
                raise Denied(f"{self.server} refuses the credential, or this use of it", _RIGHTS) from None
            case _:
                raise Unanswered(f"{self.server} gave no good answer", _LOG, is_retryable=True) from None


def _mode(expected: Expected) -> "PutMode":
    return {"e_tag": expected} if expected else "create"


def store_config(access: S3Access, bucket: str) -> "S3Config":
    """The endpoint by both of its names: without them the environment's would hold."""
    is_virtual = access.addressing == "virtual"
    scheme, _, host = access.url.partition("://")
    endpoint = f"{scheme}://{bucket}.{host}" if is_virtual else access.url
    return {
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "region": access.region,
        "virtual_hosted_style_request": is_virtual,
        "disable_bulk_delete": True,
    }


def _store(access: S3Access, bucket: str, config: Config, authorities: bytes) -> S3Store:
    keys: S3Credential = {
        "access_key_id": access.access_key_id, "secret_access_key": access.secret_access_key, "expires_at": None,
    }  # fmt: skip
    options: ClientConfig = {
        "allow_http": not protocol_of(access.url).has_tls,
        "user_agent": "imgserve",
        "connect_timeout": timedelta(seconds=config.connect_timeout_s),
        "read_timeout": timedelta(seconds=config.low_speed_time_s),
        "timeout": _NEVER,
        "proxy_url": config.proxy or _NO_PROXY,
    }
    if not config.proxy:
        options["proxy_excludes"] = location.origin(access.url).host
    if authorities:
        options["root_certificate"] = authorities
        options["proxy_ca_certificate"] = authorities.decode()
    return S3Store(
        bucket,
        config=store_config(access, bucket),
        client_options=options,
        retry_config={"max_retries": 0},
        credential_provider=lambda: keys,  # given otherwise, they would be joined by a token of the environment
    )
