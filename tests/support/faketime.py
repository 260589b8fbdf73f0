"""A wall clock that the test turns, for programs started as subprocesses: Debian's libfaketime, by LD_PRELOAD.

The monotonic clock is left alone, as it is when a machine's real-time clock is set.
"""

import sysconfig
from datetime import datetime
from pathlib import Path

import pytest

LIBRARY = Path(f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/faketime/libfaketime.so.1")

needs_faketime = pytest.mark.skipif(not LIBRARY.exists(), reason="needs libfaketime (apt-get install faketime)")


class WallClock:
    """``environment`` is for the subprocess; ``set`` and ``step`` turn its clock at any time, its children's too."""

    def __init__(self, file: Path, *, offset_s: float = 0.0) -> None:
        self._file = file
        self.offset_s = offset_s
        self.step(0.0)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.unturned, "FAKETIME_NO_CACHE": "1"}

    @property
    def unturned(self) -> dict[str, str]:
        """For a program whose clock is not turned while it runs, which looks at the file every ten seconds only."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",  # else every import of Python, which looks at files, costs a look at the clock
        }

    def step(self, by_s: float) -> None:
        """The clock jumps by ``by_s`` seconds and goes on from there. One rename: no reader sees half of it."""
        self.offset_s += by_s
        part = self._file.with_suffix(".part")
        part.write_text(f"{self.offset_s:+.3f}s\n")
        part.replace(self._file)

    def set(self, moment: datetime) -> None:
        now = datetime.now(moment.tzinfo)
        self.step((moment - now).total_seconds() - self.offset_s)
