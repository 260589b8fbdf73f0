"""Makes the two pictures of the README, placeholder and result, by one real job.

python -m examples.readme_pictures
"""

import tempfile
from pathlib import Path

from examples.demo import PICTURES, Job, imgserve, judge, post, request

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="imgserve-pictures-") as name:
        out = Path(name)
        (out / "file").mkdir()
        path = out / "file" / "readme.png"
        body = request("resize", f"file://{PICTURES}/hills.jpg", f"file://{path}", width=360, height=225)
        job = Job("readme", body, path, 360, 225, "png")
        with imgserve(out) as server:
            outcome = post(job, server)
        faults = list(judge(job, outcome))
        if faults:
            raise SystemExit("; ".join(faults))
        IMAGES.mkdir(exist_ok=True)
        for title, sighting in (("placeholder", outcome.seen[0]), ("result", outcome.seen[-1])):
            (IMAGES / f"{title}.png").write_bytes(sighting.data)


if __name__ == "__main__":
    main()
