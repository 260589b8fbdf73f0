"""Jobs with a bucket of s3rver, a second implementation of S3: one for Node, which ignores conditions of writes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import NotOurs
from tests.contract.transfer.test_deliver import ODD_NAMES
from tests.support.buckets import credential_for, in_bucket, settings_of
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.native import Caller
from tests.support.npm import NODE, PACKAGES
from tests.support.pictures import encoded, scene
from tests.support.sizes import Figures
from tests.support.transfers import deliver_bytes, fetch_bytes, write

KEY_ID = "S3RVER"
PROGRAM = """
const S3rver = require("s3rver");
const options = {port: 0, address: "127.0.0.1", silent: true, directory: process.argv[1]};
new S3rver({...options, configureBuckets: [{name: "pics"}]}).run((error, address) => {
  if (error) throw error;
  console.log(address.port);
});
"""


class Store(NamedTuple):
    endpoint: str

    @property
    def settings(self) -> str:
        return settings_of(self.endpoint, "s3://pics").replace("TESTKEY", KEY_ID)

    def transfers(self) -> Transfers:
        config = msgspec.structs.replace(credential_for(self.endpoint, "s3://pics"), access_key_id=KEY_ID)
        credentials = Credentials({"store": config})
        return Transfers(Config(), Limits(), credentials=credentials)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    command = [NODE, "-e", PROGRAM, str(tmp_path_factory.mktemp("data"))]
    process = subprocess.Popen(command, cwd=PACKAGES, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        yield Store(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.terminate()


async def test_every_kind_of_name_comes_and_goes(store: Store, figures: Figures) -> None:
    transfers = store.transfers()
    for name in ODD_NAMES:
        url = f"s3://pics/a/{quote(name)}"
        await deliver_bytes(transfers, in_bucket(url), b"placeholder", write("placeholder", 0))
        await deliver_bytes(transfers, in_bucket(url), b"picture" * 100_000, write("final", 1))
        assert await fetch_bytes(transfers, url) == b"picture" * 100_000
        with pytest.raises(NotOurs):
            await transfers.delete(in_bucket(url), write("failed", 2))
        await transfers.delete(in_bucket(url), write("final", 2))
        assert await transfers.size_of(in_bucket(url), write()) is None
    await transfers.aclose()
    figures("s3rver", f"{len(ODD_NAMES)} names written, replaced, read and deleted")


def test_a_job(store: Store, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(scene(200, 150), "jpeg"))
    (tmp_path / "imgserve.toml").write_text(store.settings)
    server = Daemon(
        tmp_path / "data", *LOOPBACK, "--read-root", str(tmp_path), "--config", str(tmp_path / "imgserve.toml"),
        environment={"SECRET": "key-of-a-test"},
    )  # fmt: skip
    resize = {"operation": "resize", "width": 60}
    with server:
        call = Caller(server)
        for source, name in ((f"file://{tmp_path}/photo.jpg", "first.jpg"), ("s3://pics/first.jpg", "second.webp")):
            output = {"operations": [resize], "destination": f"s3://pics/{name}"}
            posted = call.submit({"source": source, "outputs": [output]}).body
            assert posted["outputs"][0]["placeholder"] == "written"
            assert call.ended(posted["id"])["status"] == "succeeded"
        kept = {"operations": [resize], "destination": "s3://pics/first.jpg", "placeholder": {"if_exists": "keep"}}
        posted = call.submit({"source": "s3://pics/second.webp", "outputs": [kept]}).body
        assert posted["outputs"][0]["placeholder"] == "kept"
        assert call.ended(posted["id"])["status"] == "succeeded"
        server.stop()  # which writes the log to its end
    assert server.log.count("store_without_conditions") == 1
