"""``GET /health``: whether jobs are taken in now. Open to all, so it says little."""

from typing import Literal

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from imgserve.imaging.pool import Pool
from imgserve.intake import Intake


class Health(msgspec.Struct, frozen=True):
    status: Literal["ok", "draining", "storage_failing"]
    sandbox: str


def health_handler(intake: Intake, pool: Pool) -> HTTPRouteHandler:
    @get("/health", sync_to_thread=False)
    def health() -> Response[Health]:
        if intake.is_draining:
            return Response(Health("draining", pool.sandbox), status_code=503)
        if intake.is_storage_failing:
            return Response(Health("storage_failing", pool.sandbox), status_code=503)
        return Response(Health("ok", pool.sandbox))

    return health
