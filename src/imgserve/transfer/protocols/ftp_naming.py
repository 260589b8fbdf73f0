"""The names that a file gets while it is delivered by FTP, and the next naming after a refusal. Called by ``ftp``.

First a hidden temporary name and a rename; where the server refuses that name, a visible one with the final's
extension; where it refuses the rename, or any other name, the final name at once. ``ftp_servers`` remembers it.
"""

import re
from typing import Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from imgserve.transfer.faults import DeliveryFailed, ExchangeFailed
from imgserve.transfer.protocols.ftp_servers import Naming
from imgserve.transfer.write import Write

_NAME_REFUSED = frozenset({501, 550, 553})
_EXTENSION = re.compile(rb"\.[A-Za-z0-9]{1,16}\Z")


class Target(msgspec.Struct, frozen=True):
    """One file. ``directory`` is a URL that ends in a slash; ``name`` is decoded, as commands need it."""

    url: str
    directory: str
    name: bytes
    write: Write

    @classmethod
    def of(cls, url: str, write: Write) -> Self:
        """Raises DeliveryFailed for a name that cannot be sent as part of a command."""
        directory, _, last = url.rpartition("/")
        name = unquote_to_bytes(last)
        if not name or any(byte < 0x20 or byte == 0x7F for byte in unquote_to_bytes(url)):
            raise DeliveryFailed("The FTP target has no file name, or a control character in its path")
        return cls(url, directory + "/", name, write)

    def store_url(self, naming: Naming) -> str:
        return self.url if naming == "final" else self.directory + quote_from_bytes(self._temporary(naming))

    def renaming(self, naming: Naming) -> tuple[bytes, ...]:
        """The commands that rename the file and ask for its size."""
        size = b"*SIZE " + self.name
        return (size,) if naming == "final" else (b"RNFR " + self._temporary(naming), b"RNTO " + self.name, size)

    def temporary_size(self, naming: Naming) -> bytes:
        """The command that asks for the size of the temporary file."""
        return b"*SIZE " + self._temporary(naming)

    def removal(self, naming: Naming, *, is_own: bool = False) -> tuple[bytes, ...]:
        """The commands that delete the temporary files of earlier writes; ``is_own``: and of this one.

        A server that accepts hidden names has no visible ones. For all others both spellings are deleted.
        """
        names = self.write.leftover_names + ((self.write.temporary_name,) if is_own else ())
        hidden = [name.encode() for name in names]
        visible = [self._visible(name) for name in names] if naming != "hidden" else []
        return tuple(b"*DELE " + name for name in hidden + visible)

    def _temporary(self, naming: Naming) -> bytes:
        name = self.write.temporary_name
        return self._visible(name) if naming == "visible" else name.encode()

    def _visible(self, name: str) -> bytes:
        extension = _EXTENSION.search(self.name)
        return name.removeprefix(".").encode() + (extension[0] if extension else b"")


def next_naming(naming: Naming, refusal: ExchangeFailed) -> Naming | None:
    """The next naming to try; None when the refusal is about something else, or none is left."""
    if naming == "final" or refusal.reply < 500:
        return None
    if refusal.step == "file" and refusal.reply in _NAME_REFUSED:
        return "visible" if naming == "hidden" else "final"
    return "final" if refusal.step == "command" else None


def rename_ignored(host: str) -> ExchangeFailed:
    """The refusal of a server that answers a rename with success and does not do it."""
    detail = f"{host} does not allow files to be renamed (it says that it did, and did not)"
    return ExchangeFailed(detail, step="command", reply=550)


def is_rename_over_refused(refusal: ExchangeFailed) -> bool:
    """Whether the server has the temporary file and refuses to rename it: perhaps because the final one exists."""
    is_after_rnfr = len(refusal.replies) > 1 and refusal.replies[-2].startswith("350")
    return refusal.step == "command" and refusal.reply >= 500 and is_after_rnfr


def combine(first: ExchangeFailed, last: ExchangeFailed) -> ExchangeFailed:
    """The refusal of all namings in one sentence."""
    if last is first or last.reply < 500:
        return last
    if first.step == "command":
        detail = f"{first.detail}, nor a file to be stored under its final name (it answered {last.reply})"
        return ExchangeFailed(detail)
    return first
