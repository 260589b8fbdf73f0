"""The ways of delivering a file by FTP: the names it gets on its way, and the next way after a refusal.

A hidden temporary name and a rename; where the server takes no such name, a visible one with the final's extension;
where it allows no rename, or no other name, the final name at once. Called by ``ftp``; ``ftp_servers`` remembers.
"""

import re
from typing import Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from imgserve.transfer.faults import Broken, DeliveryFailed
from imgserve.transfer.protocols.ftp_servers import Naming
from imgserve.transfer.write import Write

_NAME_REFUSED = frozenset({501, 550, 553})
_EXTENSION = re.compile(rb"\.[A-Za-z0-9]{1,16}\Z")


class Target(msgspec.Struct, frozen=True):
    """One file to be. ``directory`` is a URL that ends in a slash; ``name`` is decoded, as commands want it."""

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
        """The commands that put the file in its place and ask for its size."""
        size = b"*SIZE " + self.name
        return (size,) if naming == "final" else (b"RNFR " + self._temporary(naming), b"RNTO " + self.name, size)

    def looking(self, naming: Naming) -> bytes:
        """The command that asks whether the temporary file is still there."""
        return b"*SIZE " + self._temporary(naming)

    def removal(self, naming: Naming, *, is_own: bool = False) -> tuple[bytes, ...]:
        """The commands that delete the leftovers of earlier writes; ``is_own``: and this write's file.

        A server that takes hidden names has no visible ones. For all others both spellings are deleted.
        """
        names = [*self.write.leftover_names, *([self.write.temporary_name] if is_own else [])]
        hidden = [name.encode() for name in names]
        visible = [self._visible(name) for name in names] if naming != "hidden" else []
        return tuple(b"*DELE " + name for name in hidden + visible)

    def _temporary(self, naming: Naming) -> bytes:
        name = self.write.temporary_name
        return self._visible(name) if naming == "visible" else name.encode()

    def _visible(self, name: str) -> bytes:
        extension = _EXTENSION.search(self.name)
        return name.removeprefix(".").encode() + (extension[0] if extension else b"")


def after(naming: Naming, refusal: Broken) -> Naming | None:
    """The next way to try; None when the refusal is about something else, or no way is left."""
    if naming == "final" or refusal.reply < 500:
        return None
    if refusal.step == "command":
        return "final"
    if refusal.step == "file" and refusal.reply in _NAME_REFUSED:
        return "visible" if naming == "hidden" else "final"
    return None


def unrenamed(place: str) -> Broken:
    """For a server that answers a rename as if it had done it."""
    return Broken(f"{place} does not allow files to be renamed (it says that it did, and did not)", step="command")


def is_rename_over_refused(refusal: Broken) -> bool:
    """Whether the server knew the temporary file and would not rename it: it may be because the final one exists."""
    is_after_rnfr = len(refusal.replies) > 1 and refusal.replies[-2].startswith("350")
    return refusal.step == "command" and refusal.reply >= 500 and is_after_rnfr


def both(first: Broken, last: Broken) -> Broken:
    """One sentence for a delivery that was refused in every way; ``first`` is the usual way's refusal."""
    if last is first or last.reply < 500:
        return last
    if first.step == "command":
        return Broken(f"{first.detail}, nor a file to be stored under its final name (it answered {last.reply})")
    return first
