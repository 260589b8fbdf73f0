"""The place of an entry's file: 4096 directories, each with the names that begin like its own. Pure.

entries/3fa/3fa19c….           lower-case hex; the beginning of a name is the digest of the source
"""

from imgserve.engine.cache.entry import is_name

_FAN_DIGITS = 3
FAN: int = 16**_FAN_DIGITS
BLOCK_BYTES = 4096


def charge_of(size_bytes: int) -> int:
    """The space of a file on the disk: whole blocks."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def number_of(name: bytes) -> int:
    """That of the directory among the ``FAN``."""
    return int.from_bytes(name[:2]) >> (16 - 4 * _FAN_DIGITS)


def range_of(first: int, last: int) -> tuple[bytes, bytes]:
    """The names of these directories are from the first value on, and less than the second."""
    shift = 16 - 4 * _FAN_DIGITS
    end = (last + 1) << shift
    return (first << shift).to_bytes(2), b"\xff" * 32 if end > 0xFFFF else end.to_bytes(2)


def directory_of(number: int) -> str:
    return f"{number:0{_FAN_DIGITS}x}"


def directory_number(text: str) -> int | None:
    """None for what is not one of the directories."""
    try:
        number = int(text, 16)
    except ValueError:
        return None
    return number if number in range(FAN) and directory_of(number) == text else None


def path_of(name: bytes) -> str:
    """Beneath the directory of all entries."""
    text = name.hex()
    return f"{text[:_FAN_DIGITS]}/{text}"


def name_of(text: str) -> bytes | None:
    """None for a file that is no entry, which is somebody else's and stays."""
    try:
        name = bytes.fromhex(text)
    except ValueError:
        return None
    return name if is_name(name) and name.hex() == text else None
