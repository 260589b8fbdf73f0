"""A font that is not installed: the job tells of it, in the view, in the command and in the log."""

from tests.service.conftest import World
from tests.service.test_pictures import post
from tests.support.daemon import wait_until
from tests.support.operating import Operator
from tests.support.pictures import svg

DETAIL = (
    'the font "Zzyx Sans" is not installed, so text of the SVG is drawn in another; install it, or name its '
    "directory in font_dirs"
)


def test_a_job_with_a_font_that_is_missing(world: World) -> None:
    drawing = svg('<text y="15" font-family="Zzyx Sans">Aa</text>', 'width="40" height="20"')
    (world.http.directory / "text.svg").write_bytes(drawing)
    reply = post(world, "text.svg", "text.png")
    assert "code" not in reply.body
    job_id = reply.headers["x-imgserve-job"]
    operate = Operator(world.server)
    operate.until(job_id, "succeeded")
    assert operate.shown(job_id)["warnings"] == [{"path": "outputs[0]", "code": "font_missing", "detail": DETAIL}]
    assert f"warning       outputs[0]: {DETAIL}\n" in operate("jobs", "show", job_id).stdout.decode()
    wait_until(lambda: " warned " in world.server.log)
    [line] = [line for line in world.server.log.splitlines() if " warned " in line]
    assert f"job={job_id}" in line
    assert "code=font_missing" in line
    assert "Zzyx Sans" in line
    without = post(world, "Ex.png", "plain.png").headers["x-imgserve-job"]
    operate.until(without, "succeeded")
    assert operate.shown(without)["warnings"] == []
