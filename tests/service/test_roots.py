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
