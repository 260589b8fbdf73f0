"""Webhooks verify with the JavaScript library of Standard Webhooks, as a Node server would have them.

Installs an npm package, so it runs with ``make conformance`` alone. The libraries for Python verify every message of
tests/integration/test_webhooks.py.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.hooks import NEW_SECRET, SECRET, Receiver
from tests.support.native import Caller
from tests.support.npm import install
from tests.support.pictures import encoded, scene
from tests.support.sizes import Figures

PACKAGE = "standardwebhooks@1.1.1"
# Prints for each line of its input what the library says: the type of the message, or the error's name.
PROGRAM = """
const { Webhook } = require("standardwebhooks");
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { body, headers, secret } = JSON.parse(line);
  try { console.log(new Webhook(secret).verify(body, headers).type); } catch (error) { console.log(error.message); }
}
"""
JOBS = 20

pytestmark = pytest.mark.full_size  # installs an npm package


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("node"), PACKAGE)


def test_the_javascript_library_verifies_them(tmp_path: Path, node: Path, figures: Figures) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(scene(40, 30), "png"))
    (tmp_path / "secret").write_text(f"{SECRET}\n{NEW_SECRET}\n")
    with Receiver() as hook:
        config = tmp_path / "imgserve.toml"
        config.write_text(f'[credential.hook]\ntype = "webhook"\nsecret_file = "secret"\nfor = ["{hook.url}"]\n')
        roots = ("--read-root", str(tmp_path), "--write-root", str(tmp_path))
        with Daemon(tmp_path / "data", *LOOPBACK, *roots, "--config", str(config)) as server:
            caller = Caller(server)
            for number in range(JOBS):
                output = {"destination": f"file://{tmp_path}/{number}.png", "operations": []}
                webhook = {"url": f"{hook.url}/{number}", "events": ["job.succeeded", "output.delivered"]}
                job = {"source": f"file://{tmp_path}/photo.png", "outputs": [output], "webhook": webhook}
                answer = caller.submit({**job, "metadata": {"name": "Törtchen, 小さいケーキ" * number}})
                assert answer.status == 202, answer
            wait_until(lambda: len(hook.posts()) == 2 * JOBS)
    asked = []
    for post in hook.posts():
        body, headers = post.body.decode(), dict(post.headers)
        changed = body.replace("succeeded", "failed").replace("delivered", "failed")
        for said, secret in ((body, SECRET), (body, NEW_SECRET), (changed, SECRET)):
            asked.append({"body": said, "headers": headers, "secret": secret})
    lines = "\n".join(map(json.dumps, asked))
    run = subprocess.run(
        ["node", "-e", PROGRAM], input=lines, cwd=node, capture_output=True, text=True, timeout=60, check=True
    )
    types = [json.loads(post.body)["type"] for post in hook.posts()]
    assert run.stdout.splitlines() == [
        word for type_ in types for word in (type_, type_, "No matching signature found")
    ]
    figures("verified", f"{len(types)} messages, by either of two secrets; none of them once changed")
