"""Gives free pages of the queue's file back to the system, in steps that delay no other change.

For ``queue``, when ended jobs have been deleted. A file that was made with incremental vacuum can.
"""

import time

import apsw

from imgserve.jobs.sql.prune import STEP_S

VACUUM_PAGES = 16
# So many free pages stay for new jobs: a tenth of the file, and 4 MB.
SPARE_PART = 10
SPARE_PAGES = 1000


def step(db: apsw.Connection) -> bool:
    """Give pages back for ``STEP_S`` at most; whether there are few enough."""
    if db.execute("PRAGMA auto_vacuum").get != 2:  # made by an older version: `imgserve queue compact` changes it
        return True
    ends_at = time.perf_counter() + STEP_S
    while True:
        free: int = db.execute("PRAGMA freelist_count").get
        pages: int = db.execute("PRAGMA page_count").get
        if free <= max(SPARE_PAGES, pages // SPARE_PART):
            return True
        if time.perf_counter() > ends_at:
            return False
        db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
