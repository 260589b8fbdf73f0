"""Which of a principal's due jobs comes next, by priority. Pure; every engine uses it.

A lane is the jobs of one principal and one priority. The highest lane with a due job is next, but of ``WINDOW`` claims
in a row of one principal each lane with a due job gets one: a lower lane starves behind no backlog.
"""

from collections.abc import Collection

from imgserve.request.job import Priority

Lane = tuple[str, Priority]

WINDOW = 11
ORDER: tuple[Priority, ...] = ("high", "normal", "low")
# Both lower lanes may run out of patience at once; then the last of them is served one claim later.
_PATIENCE = WINDOW - (len(ORDER) - 1)


class Turns:
    """For each lane the claims of its principal in a row that went to others while it had a due job.

    In memory only: a new server begins anew.
    """

    def __init__(self) -> None:
        self._waited: dict[Lane, int] = {}

    def next(self, principal: str, due: Collection[Priority]) -> Priority:
        """One of the priorities that have a due job."""
        for priority in reversed(ORDER):
            if priority in due and self._waited.get((principal, priority), 0) >= _PATIENCE:
                return priority
        return min(due, key=_rank)

    def claimed(self, principal: str, chosen: Priority, due: Collection[Priority]) -> None:
        """A job of the lane was claimed, out of those that had a due one."""
        for priority in ORDER:
            lane = (principal, priority)
            if priority == chosen or priority not in due:
                self._waited.pop(lane, None)
            else:
                self._waited[lane] = self._waited.get(lane, 0) + 1


def _rank(priority: Priority) -> int:
    """A damaged row's may be any text; it comes last."""
    return ORDER.index(priority) if priority in ORDER else len(ORDER)
