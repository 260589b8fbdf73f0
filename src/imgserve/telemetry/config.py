"""The settings of what the server tells of itself."""

from typing import Literal

import msgspec

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


class LogFileConfig(msgspec.Struct, frozen=True):
    """``keep`` old files beside the one that is written; with 0 of them, or ``max_bytes`` 0, it grows without end."""

    file: str = ""
    max_bytes: int = 10_000_000
    keep: int = 5


class LogsConfig(msgspec.Struct, frozen=True):
    """``level``: the least that is written."""

    format: Format = "text"
    level: Level = "info"


class TracingConfig(msgspec.Struct, frozen=True):
    """``endpoint``: base URL of an OTLP/HTTP receiver such as http://127.0.0.1:4318; empty means no tracing."""

    endpoint: str = ""

    def problems(self) -> tuple[str, ...]:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            return (f"endpoint: expected a URL such as http://127.0.0.1:4318, got {self.endpoint!r}",)
        return ()
