"""Sources of GETs that cannot be had: what is remembered of them."""

import gc
import weakref
from pathlib import Path

from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.freshness import Lifetimes
from imgserve.engine.config import MountConfig
from imgserve.engine.mounts import Mount
from imgserve.engine.originals import Originals
from imgserve.request.dialects.iiif.config import Config as IiifConfig
from imgserve.request.dialects.iiif.dialect import Iiif
from imgserve.request.dialects.sources import Sources
from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceNotFound
from tests.support.sizes import PATIENCE_S


class Client:
    """What a request holds."""


async def test_a_remembered_error_keeps_nothing_of_its_requests(tmp_path: Path) -> None:
    transfers = Transfers(Config(read_roots=(str(tmp_path),)), Limits())
    cache = Cache("sources", None, 0, 1_000_000)
    originals = Originals(transfers, cache, Lifetimes(60.0), negative_s=PATIENCE_S, within_s=PATIENCE_S)
    mount = Mount("iiif", Iiif(IiifConfig()), Sources(is_open=True), MountConfig())
    missing = parse_source(f"file://{tmp_path}/missing")

    async def asked(client: Client) -> str:
        """The frame of a request for which something else is shown, so that its error is no answer."""
        try:
            with await originals.get(missing, mount):
                return f"{client} got it"
        except SourceNotFound as error:
            return error.sentence()

    try:
        sentences = set()
        for _ in range(3):
            client = Client()
            ref = weakref.ref(client)
            sentences.add(await asked(client))
            await transfers.files.aclose()  # the first one's thread has ended, and no other is needed
            del client
            gc.collect()
            assert ref() is None
        assert len(sentences) == 1, "the words are the same each time"
    finally:
        await transfers.aclose()
        await cache.close()
