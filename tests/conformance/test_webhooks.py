"""Webhooks verify with the JavaScript library of Standard Webhooks, as a Node server would have them.

The libraries for Python verify every message of tests/integration/test_webhooks.py.
"""

import json
import subprocess
from pathlib import Path

from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.hooks import NEW_SECRET, SECRET, Receiver
from tests.support.native import Caller
from tests.support.npm import NODE, PACKAGES
from tests.support.pictures import encoded, scene
from tests.support.sizes import PATIENCE_S, Figures, sized

# Prints for each line of its input what the library says: the type of the message, or the error's name.
PROGRAM = """
const { Webhook } = require("standardwebhooks");
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { body, headers, secret } = JSON.parse(line);
  try { console.log(new Webhook(secret).verify(body, headers).type); } catch (error) { console.log(error.message); }
}
"""
JOBS = sized(2, 20)


def test_the_javascript_library_verifies_them(tmp_path: Path, figures: Figures) -> None:
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
        [NODE, "-e", PROGRAM], input=lines, cwd=PACKAGES, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    types = [json.loads(post.body)["type"] for post in hook.posts()]
    assert run.stdout.splitlines() == [
        word for type_ in types for word in (type_, type_, "No matching signature found")
    ]
    figures("verified", f"{len(types)} messages, by either of two secrets; none of them once changed")
