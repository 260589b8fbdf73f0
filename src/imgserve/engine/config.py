"""The settings of what happens to a job. Read by ``settings``."""

import msgspec

from imgserve.jobs.retry import FIRST_DELAY_S
from imgserve.request.recipe import DEFAULT_QUALITY, Format


class IntakeConfig(msgspec.Struct, frozen=True):
    """``storage_timeout_s``: how long a caller of whose job nothing was sent yet waits for the queue's disk.

    ``max_at_once``: requests being taken in at a time; others wait their turn unanswered, ``max_waiting`` at most.

    ``host_share``: the part of these turns that one destination host may have; ``callers`` has the rest of it.
    The qualities are for results whose job names none.
    """

    max_at_once: int = 32
    max_waiting: int = 2000
    host_share: float = 0.5
    placeholder_timeout_s: float = 5.0
    storage_timeout_s: float = 30.0
    deadline_s: float = 24 * 3600.0
    jpeg_quality: int = DEFAULT_QUALITY["jpeg"]
    webp_quality: int = DEFAULT_QUALITY["webp"]
    avif_quality: int = DEFAULT_QUALITY["avif"]

    def qualities(self) -> dict[Format, int]:
        return {"jpeg": self.jpeg_quality, "webp": self.webp_quality, "avif": self.avif_quality}


class AttemptConfig(msgspec.Struct, frozen=True):
    """``repeat_after_s``: when a final is sent again because its placeholder's fate is unknown.

    ``retry_delay_s``: before the second attempt; each later one waits twice as long.
    """

    delivery_timeout_s: float = 60.0
    repeat_after_s: float = 60.0
    retry_delay_s: float = FIRST_DELAY_S
    kept_renditions_bytes: int = 64_000_000


class RunnerConfig(msgspec.Struct, frozen=True):
    """``max_attempts`` under way: few enough that each one's turn for a worker comes within ``attempt_timeout_s``.

    Those whose delivery takes long do not count, so that the others go on; as many again may do so in all, and
    ``max_slow_per_host`` to one host, whose other jobs then are passed over. Likewise with ``max_debts``, and half of
    it. No host has the last quarter of the places, slow or not.
    """

    max_attempts: int = 64
    max_slow_per_host: int = 16
    max_debts: int = 8
    attempt_timeout_s: float = 300.0


class PlaceholderConfig(msgspec.Struct, frozen=True):
    cache_bytes: int = 16_000_000
