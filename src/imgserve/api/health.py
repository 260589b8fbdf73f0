"""``GET /health``: whether jobs are accepted now. Open to all, so it names the states and no details."""

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from imgserve.imaging.pool import Pool
from imgserve.telemetry.states import States, is_refusing, status_of


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """``status``: the most severe of the ``states``, or ``ok``. Without states ``states`` is left out.

    ``system_libvips``: its version, in that state only.
    """

    status: str
    sandbox: str
    states: tuple[str, ...] = ()
    system_libvips: str = ""


def health_handler(states: States, pool: Pool) -> HTTPRouteHandler:
    @get("/health", sync_to_thread=False)
    def health() -> Response[Health]:
        now = states.look()
        body = Health(status_of(now), pool.sandbox, tuple(state.name for state in now), pool.system_libvips)
        return Response(body, status_code=503 if is_refusing(now) else 200)

    return health
