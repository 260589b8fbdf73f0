"""The settings of what the server tells of itself."""

from typing import Annotated, Literal

import msgspec

from imgserve.setting import Amount, Problem, Setting, Text

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]


class LogFileConfig(msgspec.Struct, frozen=True):
    """``keep`` old files beside the one that is written; with 0 of them, or ``max_bytes`` 0, it grows without end."""

    # fmt: off
    file: Annotated[Text, Setting(
        "the server's log; with `--foreground` it goes to stderr instead", name="log_file",
        default="`imgserve.log` in the data directory, for root `/var/log/imgserve/imgserve.log`", metavar="FILE")] = ""
    max_bytes: Annotated[Amount, Setting(
        "size at which the log is renamed to `.1`; 0: never", "bytes", name="log_max_bytes")] = 10_000_000
    keep: Annotated[Amount, Setting("renamed logs to keep; 0: no renaming", name="log_keep")] = 5
    # fmt: on


class LogsConfig(msgspec.Struct, frozen=True):
    """``level``: the least that is written."""

    format: Annotated[Format, Setting("format of log lines", name="log_format", metavar="FORMAT")] = "text"
    level: Annotated[Level, Setting("lowest level that is logged", name="log_level", metavar="LEVEL")] = "info"


class TracingConfig(msgspec.Struct, frozen=True):
    """``endpoint``: base URL of an OTLP/HTTP receiver such as http://127.0.0.1:4318; empty means no tracing."""

    # fmt: off
    endpoint: Annotated[Text, Setting(
        "OTLP/HTTP receiver of traces, such as `http://127.0.0.1:4318`; needs the extra `otel`", name="otel_endpoint",
        metavar="URL")] = ""
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            sentence = f"expected a URL such as http://127.0.0.1:4318, got {self.endpoint!r}"
            return (Problem("endpoint", sentence),)
        return ()
