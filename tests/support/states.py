"""Jobs in every state at once, for the tests of what operators ask of a queue."""

import msgspec

from imgserve.jobs.model import JobStatus
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import JobQuery, OperatorJobView
from tests.support.queues import KEY, START, accepted, claimed, ended, failed, output, released

OTHER = "http://place.test:80/b.png"


async def only(queue: Queue, number: int) -> OperatorJobView:
    [listed] = [job for job in (await queue.page(JobQuery())).jobs if job.number == number]
    job = await queue.job(listed.id)
    assert msgspec.structs.replace(job, timeline=msgspec.UNSET) == listed
    return job


async def one_of_each(queue: Queue) -> dict[JobStatus, int]:
    found: dict[JobStatus, int] = {}
    found["superseded"] = (await released(queue, now=START)).number
    found["succeeded"] = (await released(queue, now=START + 1)).number
    await queue.settle(ended(await claimed(queue, START + 1), "delivered"), START + 1)
    found["failed"] = (await failed(queue, output(OTHER), now=START + 2)).number
    dropped = await released(queue, output(f"{KEY}1"), now=START + 3)
    found["cancelled"] = await queue.cancel(dropped.id, START + 3)
    found["running"] = (await released(queue, output(f"{KEY}2"), now=START + 4)).number
    await claimed(queue, START + 4)
    found["queued"] = (await released(queue, output(f"{KEY}3"), now=START + 5)).number
    found["accepting"] = (await accepted(queue, output(f"{KEY}4"), now=START + 6)).number
    return found
