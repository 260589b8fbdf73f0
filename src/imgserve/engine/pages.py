"""An upload page read by a worker, since a stranger's HTML is as hostile as a stranger's picture.

``build`` gives ``reader`` to the transfers, which know no pool. The pool's faults become the destination's, which has
sent the page.
"""

import asyncio

from imgserve.engine.probe import twice
from imgserve.errors import ImgserveError
from imgserve.imaging.faults import SMALLER_PAGE, NoWorker, PageUnreadable, RenderTimeout
from imgserve.imaging.pool import Pool
from imgserve.request.page import Page
from imgserve.transfer.faults import DeliveryFailed, TransfersBusy
from imgserve.transfer.protocols.form import ReadPage
from imgserve.transfer.write import Write


def reader(pool: Pool) -> ReadPage:
    async def read_page(page: bytes, media_type: str, write: Write, timeout_s: float) -> Page:
        """Raises DeliveryFailed, TransfersBusy, NoWorker."""
        ends_at = asyncio.get_running_loop().time() + timeout_s

        async def ask() -> Page:
            left_s = ends_at - asyncio.get_running_loop().time()
            is_reply_awaited = write.state == "placeholder"
            return await pool.read_page(
                page, media_type, left_s, is_reply_awaited=is_reply_awaited, principal=write.principal
            )

        try:
            return await twice(ask)
        except TimeoutError:
            raise TransfersBusy("No worker was free in time to read the upload page", "try again later") from None
        except NoWorker:
            raise
        except PageUnreadable as error:
            raise DeliveryFailed(error.detail, error.hint) from None
        except RenderTimeout:
            raise DeliveryFailed("The upload page took too long to read", SMALLER_PAGE) from None
        except ImgserveError as error:
            raise DeliveryFailed(f"The upload page could not be read: {error.detail}") from error

    return read_page
