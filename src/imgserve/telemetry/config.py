"""The settings of what the server tells of itself."""

import msgspec


class LogFileConfig(msgspec.Struct, frozen=True):
    """``keep`` old files beside the one that is written; with 0 of them, or ``max_bytes`` 0, it grows without end."""

    file: str = ""
    max_bytes: int = 10_000_000
    keep: int = 5
