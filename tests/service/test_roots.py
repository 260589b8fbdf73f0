"""A write root that goes away and comes back under the running server, and one that a tag names."""

from collections.abc import Iterator

import pytest

from tests.service.conftest import put_pictures
from tests.support.daemon import Daemon, wait_until
from tests.support.operating import ask


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Its roots are beside its data directory."""
    top = tmp_path_factory.mktemp("roots")
    put_pictures(top / "in")
    roots = ["--read-root", str(top / "in")]
    for name in ("out", "20"):
        (top / name).mkdir()
        roots += ["--write-root", str(top / name)]
    with Daemon(top / "data", *roots) as running:
        yield running


def test_jobs_wait_for_a_root_that_is_away(server: Daemon) -> None:
    top = server.data_dir.parent
    out = top / "out"

    def job(name: str) -> dict[str, object]:
        return {
            "operationType": "resize", "srcURL": f"file://{top}/in/Ex.png", "dstURL": f"file://{out}/{name}",
            "args": {"width": 20},
        }  # fmt: skip

    def names() -> list[str]:
        return [state["name"] for state in ask(server.data_dir, "GET", "/v1/server").body["states"]]

    assert server.post(job("a.png")).status == 200
    out.rename(top / "away")
    refused = server.post(job("b.png"))
    assert (refused.status, refused.body["code"]) == (503, 301)
    assert refused.headers["retry-after"]
    assert str(out) not in str(refused.body["detail"])
    assert names() == ["root_unavailable"]
    wait_until(lambda: "state_entered state=root_unavailable" in server.log)
    (top / "away").rename(out)
    wait_until(lambda: names() == [])
    assert server.post(job("b.png")).status == 200
    assert (out / "b.png").exists()
    assert "bug" not in server.log


def test_a_tag_may_name_the_root(server: Daemon) -> None:
    """A path is judged once it is filled in, and not by what stands for its tags before."""
    top = server.data_dir.parent
    job = {"operationType": "resize", "srcURL": f"file://{top}/in/Ex.png"}
    place = f"file://{top}/{{$width}}/a.png"
    assert server.post(job | {"dstURL": place, "args": {"width": 20}}).body == {"dstURL": f"file://{top}/20/a.png"}
    refused = server.post(job | {"dstURL": place, "args": {"width": 21}})
    assert (refused.status, refused.body["code"]) == (200, 116)
    assert str(refused.body["detail"]).startswith("dstURL: ")
    absent = server.post(job | {"srcURL": f"file://{top}/x.png", "dstURL": f"file://{top}/x/a.png"} | {
        "args": {"width": 20},
    })  # fmt: skip
    assert absent.body["code"] == 115
    assert "dstURL: " in str(absent.body["detail"])
    assert not (top / "21").exists()
