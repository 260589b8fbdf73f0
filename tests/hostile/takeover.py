"""Code that a picture has put into a worker: a debugger writes it there, and from then on it answers in the worker's
place. It is Python, in the worker's own process, with all that is left to that process.
"""

import asyncio
import textwrap

from tests.hostile.test_live_worker import run_inside

# The loop of a worker calls ``_answer`` of its module; whatever is put there gets each request with its descriptors.
_PLANT = """
import ctypes, fcntl, mmap, os, struct, time, sys
main = sys.modules["__main__"]
old = main._answer
memory = []
{code}
main._answer = answer
"""


async def take_over(pid: int, code: str) -> None:
    """``code`` defines ``answer(request, descriptors, give_up, cache)``; ``old`` is the worker's own.

    ``memory`` is a list.
    """
    await asyncio.to_thread(run_inside, pid, _PLANT.format(code=textwrap.dedent(code)))
