"""A write root that goes away and comes back under the running server."""

from pathlib import Path

from tests.service.conftest import put_pictures
from tests.support.daemon import Daemon, wait_until
from tests.support.operating import ask


def test_jobs_wait_for_a_root_that_is_away(tmp_path: Path) -> None:
    put_pictures(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    roots = ("--read-root", str(tmp_path / "in"), "--write-root", str(out))

    def job(name: str) -> dict[str, object]:
        return {
            "operationType": "resize", "srcURL": f"file://{tmp_path}/in/Ex.png", "dstURL": f"file://{out}/{name}",
            "args": {"width": 20},
        }  # fmt: skip

    def names() -> list[str]:
        return [state["name"] for state in ask(server.data_dir, "GET", "/v1/server").body["states"]]

    with Daemon(tmp_path / "data", *roots) as server:
        assert server.post(job("a.png")).status == 200
        out.rename(tmp_path / "away")
        refused = server.post(job("b.png"))
        assert (refused.status, refused.body["code"]) == (503, 301)
        assert refused.headers["retry-after"]
        assert str(out) not in str(refused.body["detail"])
        assert names() == ["root_unavailable"]
        wait_until(lambda: "state_entered state=root_unavailable" in server.log)
        (tmp_path / "away").rename(out)
        wait_until(lambda: names() == [])
        assert server.post(job("b.png")).status == 200
        assert (out / "b.png").exists()
        assert "bug" not in server.log


def test_a_tag_may_name_the_root(tmp_path: Path) -> None:
    """A path is judged once it is filled in, and not by what stands for its tags before."""
    put_pictures(tmp_path / "in")
    (tmp_path / "20").mkdir()
    roots = ("--read-root", str(tmp_path / "in"), "--write-root", str(tmp_path / "20"))
    with Daemon(tmp_path / "data", *roots) as server:
        job = {"operationType": "resize", "srcURL": f"file://{tmp_path}/in/Ex.png"}
        place = f"file://{tmp_path}/{{$width}}/a.png"
        assert server.post(job | {"dstURL": place, "args": {"width": 20}}).body == {
            "dstURL": f"file://{tmp_path}/20/a.png",
        }  # fmt: skip
        refused = server.post(job | {"dstURL": place, "args": {"width": 21}})
        assert (refused.status, refused.body["code"]) == (200, 116)
        assert str(refused.body["detail"]).startswith("dstURL: ")
        absent = server.post(job | {"srcURL": f"file://{tmp_path}/x.png", "dstURL": f"file://{tmp_path}/x/a.png"} | {
            "args": {"width": 20},
        })  # fmt: skip
        assert absent.body["code"] == 115
        assert "dstURL: " in str(absent.body["detail"])
    assert not (tmp_path / "21").exists()
