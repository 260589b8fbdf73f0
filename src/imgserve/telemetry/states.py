"""The states of a server that its operator must know of, in one table: ``/health``, ``/metrics``, the control socket's
``/v1/server``, ``imgserve status`` and the log all read it.

A component that can get into a state has a function that yields the state while it lasts; ``build`` passes these
functions to one ``States``. To add a state: its name in ``Name``, its row in ``KINDS``, and the function.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, NoReturn

import msgspec

from imgserve.telemetry import logs, metrics

# refusing: new jobs are refused. warning: jobs go on, but somebody has to act. notice: no action is needed.
Severity = Literal["refusing", "warning", "notice"]
Name = Literal[
    "draining",
    "storage_failing",
    "disk_full",
    "queue_not_durable",
    "root_unavailable",
    "cache_failing",
    "placeholders_abandoned",
    "webhooks_abandoned",
    "clock_stepped",
    "system_libvips",
    "possible_proxy",
    "untrusted_proxy",
]

# A change is logged within this time, even while nobody asks for the states.
LOOK_EVERY_S = 1.0


class Kind(NamedTuple):
    """``sentence`` and ``remedy`` are for states that bring none of their own."""

    severity: Severity
    sentence: str
    remedy: str


# The most severe first.
KINDS: dict[Name, Kind] = {
    "draining": Kind("refusing", "the server is stopping", "post again once it is running again"),
    "storage_failing": Kind("refusing", "the queue cannot be written",
        "repair the disk and the data directory, or the database; the detail names the cause"),
    "queue_not_durable": Kind("warning", "accepted jobs may be lost when the database or its machine fails",
        "the detail names the setting of PostgreSQL to change"),
    "disk_full": Kind("refusing", "the data directory's disk is (nearly) full", "free disk space; the server goes on"),
    "root_unavailable": Kind("warning", "the directory of a read_root or write_root is missing",
        "mount it or create it again; its jobs then go on by themselves"),
    "cache_failing": Kind("warning", "the cache cannot use its disk; pictures are rendered anew",
        "repair or free the disk of cache_dir; the detail names the cause"),
    "placeholders_abandoned": Kind("warning", "placeholders of stored jobs that cannot be read will not be replaced",
        "find them in the log (placeholder_abandoned) and replace them by hand; ends when their jobs are deleted"),
    "webhooks_abandoned": Kind("notice", "messages to webhooks will not be tried again",
        "mend the receiver, then replay them (`POST /v1/jobs/{id}/webhooks/replay`); ends when they have been sent or "
        "their jobs are deleted"),
    "clock_stepped": Kind("notice", "the wall clock was set",
        "no action is needed: the due times of jobs are not affected; the log shows the new wall-clock time"),
    "system_libvips": Kind("notice",
        "pictures are read by a libvips that is not the tested one: other loaders, other versions of codecs",
        "remove allow_system_libvips, and install as docs/operations.md says"),
    "possible_proxy": Kind("notice",
        "requests come by HTTP/1.0 with Connection: close: an old client, or a proxy that lets strangers in",
        "if a proxy forwards requests to this server, set api_key_file; otherwise no action is needed"),
    "untrusted_proxy": Kind("notice", "clients of pictures that ask through a proxy on this machine are not told apart",
        "name the proxy in trusted_proxies, and have it send X-Forwarded-For"),
}  # fmt: skip


class State(msgspec.Struct, frozen=True):
    """A state that lasts now. ``detail`` takes the place of the kind's sentence, ``hint`` that of its remedy."""

    name: Name
    detail: str = ""
    hint: str = ""

    @property
    def severity(self) -> Severity:
        return KINDS[self.name].severity

    @property
    def sentence(self) -> str:
        return self.detail or KINDS[self.name].sentence

    @property
    def remedy(self) -> str:
        return self.hint or KINDS[self.name].remedy


class States:
    """The states of one server. ``sources`` are called on the event loop and must not block."""

    def __init__(self, *sources: Callable[[], Iterable[State]]) -> None:
        self._sources = sources
        self._last: dict[Name, State] = {}

    def look(self) -> tuple[State, ...]:
        """All states that last now, the most severe first; a change since the last look is logged and counted."""
        states = {state.name: state for source in self._sources for state in source()}
        for name in states.keys() - self._last.keys():
            state = states[name]
            _log("state_entered", state, detail=state.sentence, hint=state.remedy)
        for name in self._last.keys() - states.keys():
            _log("state_left", self._last[name])
        for name in KINDS:
            metrics.STATE.labels(name).set(name in states)
        self._last = states
        return tuple(states[name] for name in KINDS if name in states)

    async def watch(self) -> NoReturn:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)


def status_of(states: tuple[State, ...]) -> str:
    """The name of the most severe state, or ``ok``; a notice leaves it ``ok``."""
    return next((state.name for state in states if state.severity != "notice"), "ok")


def is_refusing(states: tuple[State, ...]) -> bool:
    return any(state.severity == "refusing" for state in states)


def _log(action: str, state: State, **fields: str) -> None:
    # A stop that was asked for is no trouble.
    level = logs.INFO if state.severity == "notice" or state.name == "draining" else logs.WARNING
    logs.event(action, level=level, state=state.name, job="", request="", **fields)
