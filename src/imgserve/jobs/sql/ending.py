"""Ends outputs without their pictures: as failed or as cancelled. Called inside transactions of all kinds.

A failure picture or a deletion that such an output needs is an outbox entry, due at once. An output whose final was
delivered once, and was to be sent again, counts as delivered.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import OutputStatus
from imgserve.jobs.sql import events, outbox
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import outbox_kind_of

SQL = load("ending")

Status = Literal["failed", "cancelled"]


class Reason(msgspec.Struct, frozen=True):
    """The error of an output that ends without its picture, as ``OutputResult`` has it."""

    error: str
    detail: str
    hint: str = ""
    is_retryable: bool = False


class OutputEnd(msgspec.Struct, frozen=True):
    """``happened``: the events that its transaction has to add."""

    status: OutputStatus
    happened: tuple[events.Event, ...] = ()


def end_open(
    db: Database, number: int, status: Status, reason: Reason, config: Config, now: float,
    output_id: int | None = None, *, is_refused: bool = False,
) -> list[OutputEnd]:  # fmt: skip
    """End the open outputs of a job, or this one of them. ``is_refused``: at intake."""
    outputs = rows(db, SQL["open_outputs"], (number, output_id))
    return [_end(db, output, status, reason, config, now, is_refused=is_refused) for output in outputs]


def note_ends(db: Database, ends: Sequence[OutputEnd]) -> None:
    events.add(db, [event for end in ends for event in end.happened])


def _end(
    db: Database, output: tuple[Any, ...], status: Status, reason: Reason, config: Config, now: float, *,
    is_refused: bool,
) -> OutputEnd:  # fmt: skip
    output_id, number, spec, placeholder, is_repeat = output
    if is_repeat:
        db.execute(SQL["count_as_delivered"], (now, output_id))
        return OutputEnd("delivered", ((number, output_id, now, "output.delivered", ""),))
    db.execute(SQL["end"], (status, *msgspec.structs.astuple(reason), output_id))
    kind = outbox_kind_of(spec, placeholder, is_refused=is_refused)
    if kind is not None:
        outbox.add(db, number, output_id, kind, now, now + config.outbox_s)
    if status == "failed":
        return OutputEnd(status, ((number, output_id, now, "output.failed", reason.error),))
    return OutputEnd(status)
