"""The line of the access log, and the metrics, of each GET of a picture. Called by ``images``."""

from typing import NamedTuple

from imgserve.engine.served import Wanted
from imgserve.telemetry import gets, logs


class Outcome(NamedTuple):
    """What the access log says of a request. 499: the client left before there was an answer."""

    status: int = 499
    state: str = "gone"
    size_bytes: int = 0


def note(get: gets.Get, outcome: Outcome, seconds: float) -> None:
    """The line of the access log. Stages that the request did not have are left out."""
    gets.answered(get.dialect, outcome.status, outcome.state, seconds, outcome.size_bytes)
    logs.event(
        "get", dialect=get.dialect, host=get.host, status=outcome.status, state=outcome.state,
        code=get.code, detail=get.detail, coalesced=get.coalesced, bytes=outcome.size_bytes, ms=seconds * 1000,
        cache_ms=get.ms("cache"), queue_ms=get.ms("queue"), fetch_ms=get.ms("fetch"), probe_ms=get.ms("probe"),
        wait_ms=get.ms("wait"), render_ms=get.ms("render"), send_ms=get.ms("send"),
    )  # fmt: skip


def note_hot(wanted: Wanted, size_bytes: int, seconds: float, request_id: str) -> None:
    """The same for a request that is none of ASGI's, and has no stages."""
    name = wanted.mount.name
    gets.answered(name, 200, "hit", seconds, size_bytes)
    logs.event(
        "get", dialect=name, host=wanted.source.host, status=200, state="hit", bytes=size_bytes, ms=seconds * 1000,
        request=request_id,
    )  # fmt: skip
