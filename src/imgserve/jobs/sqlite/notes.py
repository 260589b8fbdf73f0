"""Notes of ended jobs, and of changes in the number of abandoned placeholders, written by triggers of the database.

So no transaction can forget them, and a rollback removes them. Written in the committer's thread, taken on the event
loop between two commits.
"""

from typing import Any

import apsw

from imgserve.jobs.model import Ended

_TRIGGERS = (
    "job_ended AFTER UPDATE OF ended_at ON main.job WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL"
    " BEGIN SELECT note_end(new.status, new.error, new.created_at, new.ended_at); END",
    "abandoned_changed AFTER UPDATE OF debt ON main.output"
    " WHEN (old.debt = 'abandoned') <> (new.debt = 'abandoned') BEGIN SELECT note_abandoned(); END",
    "abandoned_went AFTER DELETE ON main.output WHEN old.debt = 'abandoned' BEGIN SELECT note_abandoned(); END",
)


class Notes:
    def __init__(self) -> None:
        self._ends: list[Ended] = []
        self.is_abandoned_changed = True

    def watch(self, db: apsw.Connection) -> None:
        db.create_scalar_function("note_end", self._note_end, 4)
        db.create_scalar_function("note_abandoned", self._note_abandoned, 0)
        db.set_rollback_hook(self._ends.clear)
        for trigger in _TRIGGERS:
            db.execute(f"CREATE TEMP TRIGGER {trigger}")

    def take_ends(self) -> list[Ended]:
        ends, self._ends[:] = self._ends[:], []
        return ends

    def _note_end(self, *row: Any) -> None:
        self._ends.append(Ended(*row))

    def _note_abandoned(self, *_: Any) -> None:
        self.is_abandoned_changed = True
