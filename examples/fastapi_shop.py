"""A small FastAPI service that takes pictures, has imgserve make sizes of them, and learns by webhook of their end.

    uvicorn examples.fastapi_shop:app

README.md beside it has the settings.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Path as InPath

from imgserve.client import ApiError, AsyncClient, Encode, Output, Resize, SignatureInvalid, verify_webhook

SHOP = Path(os.environ.get("SHOP_DIR", "shop")).resolve()
WEBHOOK = {
    "url": os.environ.get("SHOP_WEBHOOK", "http://127.0.0.1:8000/imgserve/"),
    "events": ["job.succeeded", "job.failed"],
}
SECRET = os.environ["HOOK_SECRET"]
SIZES = {"large": (600, 450), "card": (300, 200), "thumb": (64, 64)}

imgserve = AsyncClient(os.environ.get("IMGSERVE_URL", "http://127.0.0.1:8602"), key=os.environ.get("IMGSERVE_KEY", ""))
# A real service has a table in its database for this.
status_of: dict[str, str] = {}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with imgserve:
        yield


app = FastAPI(lifespan=lifespan)
Name = Annotated[str, InPath(pattern=r"^[a-z0-9-]{1,50}$")]


@app.put("/photos/{name}", status_code=202)
async def take(name: Name, request: Request) -> dict[str, str]:
    """The body is the picture. The answer has the path of each size, which a web server may serve from now on."""
    outputs = [
        Output(
            name=size,
            operations=(Resize(width, height),),
            encode=Encode("webp"),
            destination=(SHOP / f"sizes/{name}-{size}.webp").as_uri(),
        )
        for size, (width, height) in SIZES.items()
    ]
    try:
        await imgserve.submit(await request.body(), outputs, webhook=WEBHOOK, metadata={"photo": name})
    except ApiError as error:  # such as a picture that cannot be read
        raise HTTPException(error.status, {"code": error.code, "detail": error.detail}) from error
    return {size: f"/sizes/{name}-{size}.webp" for size in SIZES}


@app.get("/photos/{name}")
async def show(name: Name) -> dict[str, str]:
    return {"status": status_of.get(name, "in the making")}


@app.post("/imgserve/", status_code=204)
async def webhook(request: Request) -> Response:
    try:
        event = verify_webhook(await request.body(), request.headers, SECRET)
    except SignatureInvalid:
        return Response(status_code=401)
    if event.job is not None and (photo := event.job.metadata.get("photo")):
        status_of[photo] = event.job.status
    return Response(status_code=204)
