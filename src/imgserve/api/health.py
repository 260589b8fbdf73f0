"""``GET /health``: whether jobs are accepted now. ``GET /health/live``: whether the server answers at all, for programs
that restart one that does not. Both are open to all, so they name the states and no details.
"""

import msgspec

from imgserve.api.control_socket import Formats
from imgserve.api.http.asgi import NO_CONTENT, App, Receive, Scope, Send, answer, answer_json
from imgserve.imaging.abilities import abilities
from imgserve.imaging.pool import Pool
from imgserve.telemetry.states import States, is_refusing, status_of


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """``status``: the most severe of the ``states``, or ``ok``. Without states ``states`` is left out.

    ``system_libvips``: its version, in that state only. ``formats``: those of sources and of results.
    """

    status: str
    sandbox: str
    formats: Formats
    states: tuple[str, ...] = ()
    system_libvips: str = ""


def health_page(states: States, pool: Pool) -> App:
    can = abilities()
    formats = Formats(can.reads, can.writes)

    async def health(_scope: Scope, _receive: Receive, send: Send) -> None:
        now = states.look()
        body = Health(status_of(now), pool.sandbox, formats, tuple(state.name for state in now), pool.system_libvips)
        await answer_json(send, body, 503 if is_refusing(now) else 200)

    return health


async def live_page(_scope: Scope, _receive: Receive, send: Send) -> None:
    """A full queue or a lost disk must not end a server that will go on by itself: it answers 204 in every state."""
    await answer(send, NO_CONTENT, ())
