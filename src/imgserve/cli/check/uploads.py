"""The bucket of uploaded pictures: whether it answers, and lets its credential look. Called by ``report``."""

import asyncio
from collections.abc import Iterator

from imgserve.cli.check.finding import Finding, fault, ok, unknown
from imgserve.errors import spell
from imgserve.settings.tree import Settings
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import TransferError
from imgserve.transfer.protocols.uploaded_objects import UploadedObjects

_ABOUT = "uploads"
_PATIENCE_S = 5.0


def look(settings: Settings) -> Iterator[Finding]:
    place = settings.uploads.bucket
    if not place:
        return
    if not all(config.secret.text for config in settings.credentials.values() if config.type == "s3"):
        yield unknown(_ABOUT, f"{place}: its credential is kept from this user", "the server's user")
        return
    try:
        asyncio.run(_ask(settings))
    except TransferError as error:
        yield fault(_ABOUT, f"{place}: {error.detail}", spell(error.hint))
    else:
        yield ok(_ABOUT, f"{place} answers")


async def _ask(settings: Settings) -> None:
    """Raises TransferError."""
    transfers = Transfers(settings.transfer, settings.limits, credentials=Credentials(settings.credentials))
    try:
        await UploadedObjects(settings.uploads.bucket, transfers.s3, transfers.receive, _PATIENCE_S).ask()
    finally:
        await transfers.aclose()
