"""Idempotency keys in use. Of two requests with one key, the second waits until the first has been answered.

Called by ``intake``. The wait is in memory: the queue binds a key in the transaction that stores the job, so a request
that comes later finds the binding there.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from imgserve.errors import ImgserveError, counted
from imgserve.jobs.faults import IdempotencyKeyReused, IdempotentJobGone
from imgserve.jobs.model import Binding, Bound
from imgserve.limiter import Key, Limiter

# As long as a source may take to send its header.
WAIT_S = 30.0
# A client that repeats a request sends a few of them; each one that waits keeps a connection.
MOST_WAITING = 256


class KeyInUse(ImgserveError):
    code = "idempotency_key_in_use"
    status = 503
    is_retryable = True
    retry_after_s = 5.0
    title = "The first request with this Idempotency-Key is not finished"


class KeysInUse:
    def __init__(self, wait_s: float = WAIT_S, most_waiting: int = MOST_WAITING) -> None:
        self._wait_s = wait_s
        self._most_waiting = most_waiting
        self._holders = Limiter(sys.maxsize)

    @contextlib.asynccontextmanager
    async def held(self, principal_id: str, key: str) -> AsyncIterator[None]:
        """Hold the principal's key. Raises KeyInUse."""
        name = Key(f"{principal_id} {key}", 1)
        if self._holders.asked(name) > self._most_waiting:
            raise KeyInUse(
                f"{counted(self._most_waiting, 'request')} with this key wait already", "send it again later"
            )
        try:
            async with asyncio.timeout(self._wait_s):
                await self._holders.acquire(name)
        except TimeoutError:
            detail = f"a request with this key has been under way for more than {self._wait_s:g} s"
            raise KeyInUse(detail, "send it again later") from None
        try:
            yield
        finally:
            self._holders.release(name)


def check_repeat(bound: Bound, binding: Binding) -> None:
    """For a request whose key has a job already. Raises IdempotencyKeyReused, IdempotentJobGone."""
    if bound.digest != binding.digest:
        detail = f"the key belongs to job {bound.job_id}, whose request was another one"
        raise IdempotencyKeyReused(detail, "send a new key with a new request")
    if bound.is_gone:
        raise IdempotentJobGone(f"job {bound.job_id} of this key has been deleted", "send a new key to do it again")
