"""What a mount keeps and for how long: the log of the sources' host says what was fetched, metrics what was rendered.

``lasting`` shows stale pictures while it asks their sources anew, and remembers errors; ``strict`` asks first, and
remembers none.
"""

import asyncio
import resource
import shutil
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from examples.receivers import Behaviour

from tests.support.daemon import wait_until
from tests.support.getting import KEY, PHOTO, SALT, Gets, Reply, begun, gets, imgproxy_signed
from tests.support.native import Caller
from tests.support.pictures import encoded, scene, slow_svg

OTHER = encoded(scene(200, 200), "jpeg")
DUE = Behaviour(headers={"Cache-Control": "max-age=0"})
DOWN = Behaviour(status=503)
A_YEAR = "public, max-age=31536000, stale-while-revalidate=3600, stale-if-error=86400"
TABLES = """
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
sources = ["WEB/"]
base_url = "WEB/"
fallback = "none"
client_hints = true
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
negotiate = ["avif", "webp"]
cache_control_of_source = true
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
max_age_s = 60
fallback = "none"
fallback_status = 404
[picture.none]
path = "DIR/logo.png"
"""
LASTING = {"cache_negative_s": 3600, "stale_while_revalidate_s": 3600}
STRICT = {"cache_negative_s": 0, "stale_while_revalidate_s": 0, "stale_if_error_s": 3600, "svg_timeout_s": 60}


def opened(top: Path, **switches: object) -> Iterator[Gets]:
    (top / "key").write_text(KEY)
    (top / "salt").write_text(SALT)
    with gets(top, TABLES, switches=switches, environment={"PYTHONWARNINGS": "always::ResourceWarning"}) as server:
        yield server


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    yield from opened(tmp_path_factory.mktemp("lasting"), **LASTING)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    yield from opened(tmp_path_factory.mktemp("strict"), **STRICT)


def url(name: str, width: int = 40) -> str:
    return imgproxy_signed(f"/rs:fit:{width}:{width}/plain/{name}")


def thumbor(name: str, width: int = 40) -> str:
    return f"/thumbor/unsafe/{width}x0/{name}"


def iiif(name: str, width: int = 40) -> str:
    return f"/iiif/3/{name}/full/{width},/0/default.jpg"


def renders(server: Gets) -> float:
    return server.metric('stage_seconds_count{stage="render"')


def state(server: Gets, reply: Reply) -> str:
    """How the access log says that a request was answered."""
    wait_until(lambda: f"get request={reply['x-request-id']}" in server.server.log)
    line = server.server.log.partition(f"get request={reply['x-request-id']}")[2].partition("\n")[0]
    return line.partition("state=")[2].partition(" ")[0]


def test_a_hit_fetches_and_renders_nothing(lasting: Gets) -> None:
    lasting.put("hit.jpg")
    made = lasting.get(url("hit.jpg"))
    before = renders(lasting)
    hits = [lasting.get(url("hit.jpg")) for _ in range(3)]
    assert [(hit.status, hit.body, hit["etag"]) for hit in hits] == [(200, made.body, made["etag"])] * 3
    assert [state(lasting, reply) for reply in (made, *hits)] == ["made", "hit", "hit", "hit"]
    assert (lasting.fetches("hit.jpg"), renders(lasting)) == ([200], before)


def test_further_sizes_fetch_nothing(lasting: Gets) -> None:
    lasting.put("sizes.jpg")
    assert [lasting.get(url("sizes.jpg", width)).size[0] for width in (40, 41, 42)] == [40, 41, 42]
    assert lasting.get(thumbor("sizes.jpg")).size[0] == lasting.get(iiif("sizes.jpg")).size[0] == 40
    assert lasting.fetches("sizes.jpg") == [200]


def test_a_client_that_has_the_picture_costs_neither_fetch_nor_render(lasting: Gets) -> None:
    lasting.put("known.jpg")
    etag = lasting.get(url("known.jpg"))["etag"]
    before = renders(lasting)
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = lasting.get(url("known.jpg"), If_None_Match=sent)
        assert (reply.status, reply.body, reply["etag"], reply["cache-control"]) == (304, b"", etag, A_YEAR)
    assert lasting.get(url("known.jpg"), If_None_Match='"other"').status == 200
    other = lasting.get(thumbor("known.jpg"))
    assert lasting.get(thumbor("known.jpg"), If_None_Match=etag).status == 200
    assert lasting.get(thumbor("known.jpg"), If_None_Match=other["etag"])["vary"].startswith("Accept")
    assert (lasting.fetches("known.jpg"), renders(lasting)) == ([200], before + 1)


def test_a_picture_whose_source_is_unchanged_is_not_rendered_again(strict: Gets) -> None:
    strict.put("same.jpg")
    strict.web.behave("/same.jpg", DUE)
    first = strict.get(url("same.jpg"))
    before = renders(strict)
    again = strict.get(url("same.jpg"))
    assert (again.body, again["etag"], state(strict, again)) == (first.body, first["etag"], "revalidated")
    assert strict.get(url("same.jpg"), If_None_Match=first["etag"]).status == 304
    assert (strict.fetches("same.jpg"), renders(strict)) == ([200, 304, 304], before)


def test_a_picture_whose_source_has_changed_is_another(strict: Gets) -> None:
    strict.put("changed.jpg")
    strict.web.behave("/changed.jpg", DUE)
    first = strict.get(url("changed.jpg"))
    strict.put("changed.jpg", OTHER)
    again = strict.get(url("changed.jpg"), If_None_Match=first["etag"])
    assert (again.status, again.size, again["etag"] != first["etag"]) == (200, (40, 40), True)
    assert strict.fetches("changed.jpg") == [200, 200]


def test_a_stale_picture_is_shown_while_its_source_is_asked(lasting: Gets) -> None:
    lasting.put("stale.jpg")
    lasting.web.behave("/stale.jpg", DUE)
    first = lasting.get(url("stale.jpg"))
    lasting.put("stale.jpg", OTHER)
    lasting.web.behave("/stale.jpg", Behaviour(headers=DUE.headers, delay_s=0.3))
    stale = lasting.get(url("stale.jpg"))
    assert (stale.body, state(lasting, stale)) == (first.body, "stale")
    wait_until(lambda: lasting.get(url("stale.jpg")).size == (40, 40))
    lasting.web.behave("/stale.jpg", DOWN)
    for _ in range(3):
        assert lasting.get(url("stale.jpg")).size == (40, 40)


def test_a_stale_picture_is_shown_where_its_source_cannot_be_asked(strict: Gets) -> None:
    strict.put("down.jpg")
    strict.web.behave("/down.jpg", DUE)
    first = strict.get(thumbor("down.jpg"))
    strict.web.behave("/down.jpg", DOWN)
    reply = strict.get(thumbor("down.jpg"))
    assert (reply.status, reply.body, state(strict, reply)) == (200, first.body, "stale")
    assert strict.get(thumbor("down.jpg", 41)).status == 404
    strict.web.behave("/down.jpg", Behaviour(status=404))
    assert strict.get(thumbor("down.jpg")).status == 404


def test_an_error_is_remembered_for_seconds(lasting: Gets, strict: Gets) -> None:
    """Where the settings say so; no cache in front keeps it, and it is not given to requests that come later."""
    for server, asked in ((lasting, 1), (strict, 3)):
        for _ in range(3):
            reply = server.get(thumbor("unheard.jpg"))
            assert (reply.status, reply["cache-control"]) == (404, "no-store")
        assert server.fetches("unheard.jpg") == [404] * asked
    strict.put("later.jpg")
    strict.web.behave("/later.jpg", Behaviour(status=503, times=1))
    assert [strict.get(thumbor("later.jpg")).status for _ in range(2)] == [404, 200]


def test_a_picture_stands_in_for_a_source_that_cannot_be_had(lasting: Gets) -> None:
    lasting.put("words.jpg", b"no picture")
    before = renders(lasting)
    for name in ("missing.jpg", "words.jpg", "missing.jpg"):
        reply = lasting.get(url(name, 8))
        assert (reply.status, reply.size) == (200, (8, 8))
        assert (reply["x-imgserve-state"], reply["cache-control"]) == ("fallback", "public, max-age=60")
        assert reply.picture.convert("RGB").getpixel((4, 4))[0] > 200  # type: ignore[index]
    assert renders(lasting) == before + 2  # what is no picture is found out in the step that would have rendered it
    reply = lasting.get(iiif("missing.jpg", 8))
    assert (reply.status, reply["x-imgserve-state"], reply["cache-control"]) == (404, "fallback", "no-store")
    assert lasting.get(imgproxy_signed("/rs:fat:8:8/plain/missing.jpg")).status == 404
    assert lasting.get(imgproxy_signed("/rs:fit:8:8/plain/http://other.test/a.jpg"))["x-imgserve-state"] == ""


def test_cache_control_is_the_settings_the_sources_or_that_of_the_urls_end(lasting: Gets) -> None:
    lasting.put("control.jpg")
    lasting.web.behave("/control.jpg", Behaviour(headers={"Cache-Control": "public, max-age=500"}))
    ends_at = int(time.time()) + 1000
    paths = (
        (url("control.jpg"), 31_536_000, 31_536_000), (thumbor("control.jpg"), 400, 500), (iiif("control.jpg"), 60, 60),
        (imgproxy_signed(f"/exp:{ends_at}/plain/control.jpg"), 900, 1000),
    )  # fmt: skip
    for path, least, most in (*paths, *paths, *paths):
        public, _, age = lasting.get(path)["cache-control"].partition(", max-age=")
        assert public == "public"
        assert least <= int(age.partition(",")[0]) <= most
    lasting.put("private.jpg")
    lasting.web.behave("/private.jpg", Behaviour(headers={"Cache-Control": "no-store"}))
    assert lasting.get(thumbor("private.jpg"))["cache-control"] == "private, no-cache"
    lasting.put("own.jpg")
    lasting.web.behave("/own.jpg", Behaviour(headers={"Cache-Control": "private, max-age=600"}))
    for _ in range(2):
        assert lasting.get(thumbor("own.jpg"))["cache-control"].startswith("private, max-age=")
    assert lasting.get(url("own.jpg"))["cache-control"] == A_YEAR, "the mount's own setting says so"
    assert lasting.get(imgproxy_signed(f"/exp:{int(time.time()) - 1}/plain/control.jpg")).status == 404


def test_after_a_purge_nothing_is_remembered_of_a_source_whose_etag_never_changes(strict: Gets) -> None:
    source = strict.put("constant.jpg", encoded(scene(200, 100), "jpeg"))
    strict.web.behave("/constant.jpg", Behaviour(headers={"ETag": '"constant"'}))
    assert strict.get(url("constant.jpg")).size == (40, 20)
    strict.put("constant.jpg", encoded(scene(100, 200), "jpeg"))
    assert Caller(strict.server)("POST", "/v1/cache/purge", {"source": source}).status == 200
    assert strict.get(url("constant.jpg")).size == (20, 40)


def test_a_304_need_not_repeat_what_the_source_said_of_caches(strict: Gets) -> None:
    """RFC 9111, 4.3.4: such a source stays private, and is asked each time, not once in an hour."""
    strict.put("again.jpg")
    strict.web.behave("/again.jpg", Behaviour(headers={"Cache-Control": "private, no-cache"}))
    assert strict.get(thumbor("again.jpg"))["cache-control"] == "private, no-cache"
    strict.web.behave("/again.jpg", Behaviour())
    for _ in range(2):
        assert strict.get(thumbor("again.jpg"))["cache-control"] == "private, no-cache"
    assert strict.fetches("again.jpg") == [200, 304, 304]
    strict.web.behave("/again.jpg", Behaviour(headers={"Cache-Control": "max-age=500"}))
    assert strict.get(thumbor("again.jpg"))["cache-control"].startswith("public, max-age=")


def test_caches_in_front_may_show_a_stale_picture_as_this_one_does(lasting: Gets, strict: Gets) -> None:
    """As ``lasting`` and ``strict`` do themselves, which have other settings; but not what is to end soon."""
    lasting.put("front.jpg")
    strict.put("front.jpg")
    for path, server, stale in (
        (url("front.jpg"), lasting, "stale-while-revalidate=3600, stale-if-error=86400"),
        (iiif("front.jpg"), lasting, "stale-while-revalidate=60, stale-if-error=86400"),
        ("/iiif/3/front.jpg/info.json", lasting, "stale-while-revalidate=60, stale-if-error=86400"),
        (thumbor("front.jpg"), lasting, ""),
        (imgproxy_signed(f"/exp:{int(time.time()) + 1000}/plain/front.jpg"), lasting, ""),
        (url("missing.jpg"), lasting, ""),
        (url("front.jpg"), strict, "stale-if-error=3600"),
    ):
        for _ in range(3):
            assert server.get(path)["cache-control"].partition("max-age=")[2].partition(", ")[2] == stale, path


def test_imagor_nobody_sets_the_lives_of_caches_by_an_unsigned_url(strict: Gets) -> None:
    """``max_age`` shortens what the settings say, and lengthens nothing."""
    strict.put("aged.jpg")
    strict.web.behave("/aged.jpg", Behaviour(headers={"Cache-Control": "max-age=600"}))
    for text, least, most in (("30", 30, 30), ("99999999", 500, 600)):
        cache_control = strict.get(f"/thumbor/unsafe/20x20/filters:max_age({text})/aged.jpg")["cache-control"]
        assert least <= int(cache_control.removeprefix("public, max-age=")) <= most
    assert strict.get("/thumbor/unsafe/20x20/filters:max_age(0)/aged.jpg")["cache-control"] == "no-cache"


def test_large_pictures_leave_no_file_open(lasting: Gets) -> None:
    """Asked for while the first one is still being written to the cache. Python would close the files, and warn."""
    with lasting.client() as client:
        for number in range(8):
            lasting.put(f"large{number}.jpg", PHOTO + bytes(3_000_000))
            path = imgproxy_signed(f"/skp:jpg/plain/large{number}.jpg")
            etag = client.get(path)["etag"]
            assert [client.get(path, If_None_Match=etag).status for _ in range(6)] == [304] * 6
            assert len(client.get(path).body) == len(PHOTO) + 3_000_000
    assert "was never closed" not in lasting.server.log


def test_a_url_ends_also_if_its_picture_is_cached(lasting: Gets) -> None:
    lasting.put("ends.jpg")
    path = imgproxy_signed(f"/exp:{int(time.time()) + 2}/plain/ends.jpg")
    assert {lasting.get(path).status for _ in range(4)} == {200}
    wait_until(lambda: lasting.get(path).status == 404)
    assert lasting.get(path, If_None_Match="*").status == 404


def test_the_sources_date_is_the_pictures(lasting: Gets) -> None:
    modified = formatdate(1_700_000_000, usegmt=True)
    lasting.put("dated.jpg")
    lasting.web.behave("/dated.jpg", Behaviour(headers={"Last-Modified": modified}))
    assert lasting.get(url("dated.jpg"))["last-modified"] == modified
    assert lasting.get(url("dated.jpg"), If_Modified_Since=modified).status == 304
    assert lasting.get(url("dated.jpg"), If_Modified_Since=formatdate(1_600_000_000, usegmt=True)).status == 200


def test_each_answer_of_a_negotiable_url_says_what_chose_it(lasting: Gets) -> None:
    """And a variant is never another client's."""
    lasting.put("vary.jpg")
    path = thumbor("vary.jpg")
    etags: dict[str, str] = {}
    for accept, kind in (
        ("image/avif", "avif"), ("image/avif,image/webp,*/*", "webp"), ("image/webp", "webp"),
        ("*/*", "jpeg"), ("image/*", "jpeg"),
        ("image/avif;q=0,image/webp;q=0.1", "webp"), ("image/webp;q=0", "jpeg"), ("", "jpeg"), ("garbage;;q=,", "jpeg"),
    ) * 3:  # fmt: skip
        reply = lasting.get(path, Accept=accept)
        assert (reply["content-type"], reply["vary"]) == (f"image/{kind}", "Accept")
        assert reply.picture.format == kind.upper()
        assert etags.setdefault(accept if "," in accept else kind, reply["etag"]) == reply["etag"]
    assert len({etags[kind] for kind in ("avif", "webp", "jpeg")}) == 3
    assert lasting.get(path, Accept="image/webp", If_None_Match=etags["webp"])["vary"] == "Accept"
    assert lasting.get(path, If_None_Match=etags["webp"]).status == 200
    for wrong in (thumbor("nowhere.jpg"), "/thumbor/nothing", "/thumbor/unsafe/filters:nothing(/x"):
        assert lasting.get(wrong)["vary"] == "Accept"
    assert lasting.get(path, Range="bytes=99999999-")["vary"] == "Accept"
    assert lasting.get(iiif("vary.jpg"))["vary"] == ""


def test_hints_of_the_client_choose_the_size(lasting: Gets) -> None:
    lasting.put("hints.jpg")
    hints = "Sec-CH-DPR, DPR, Sec-CH-Width, Width"
    given, open_size = url("hints.jpg"), imgproxy_signed("/plain/hints.jpg")
    for _ in range(3):
        for path, sent, width in (
            (given, {}, 40), (given, {"DPR": "2"}, 80), (given, {"Sec_CH_DPR": "3"}, 120), (given, {"Width": "64"}, 40),
            (open_size, {}, 320), (open_size, {"Width": "64"}, 64),
        ):  # fmt: skip
            reply = lasting.get(path, **sent)
            assert (reply.size[0], reply["vary"]) == (width, hints)


def test_parts_of_a_picture(lasting: Gets) -> None:
    lasting.put("parts.jpg")
    path = url("parts.jpg")
    made = lasting.get(path, Range="bytes=0-9")
    whole = lasting.get(path)
    size = len(whole.body)
    assert (made.status, made.body) == (206, whole.body[:10])
    for sent, start, end in (("10-19", 10, 20), ("10-", 10, size), ("-5", size - 5, size), ("0-999999", 0, size)):
        part = lasting.get(path, Range=f"bytes={sent}")
        assert (part.status, part.body) == (206, whole.body[start:end])
        assert part["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part["etag"] == whole["etag"]
    beyond = lasting.get(path, Range=f"bytes={size}-")
    assert (beyond.status, beyond["content-range"], beyond["cache-control"]) == (416, f"bytes */{size}", "no-store")
    for others in ({"Range": "bytes=0-1,4-5"}, {"Range": "lines=0-9"}, {"Range": "bytes=9-0"}):
        assert lasting.get(path, **others).body == whole.body
    assert lasting.get(path, Range="bytes=0-9", If_Range='"another"').body == whole.body
    assert lasting.get(path, Range="bytes=0-9", If_Range=whole["etag"]).status == 206


CROWD = 1000


async def asked_at_once(server: Gets, paths: list[str]) -> list[bytes]:
    """The body of each answer; each request comes by a connection of its own."""
    host, _, port = server.server.url.removeprefix("http://").partition(":")

    async def ask(path: str) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), answer
        return body

    return await asyncio.gather(*(ask(path) for path in paths))


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_equal_requests_fetch_and_render_once(lasting: Gets) -> None:
    """Those of a few sizes fetch once, and render each size once. The source answers when all are there."""
    lasting.put("crowd.jpg")
    lasting.web.behave("/crowd.jpg", Behaviour(delay_s=1.0))
    before = renders(lasting)
    bodies = asyncio.run(asked_at_once(lasting, [url("crowd.jpg")] * CROWD))
    assert len(set(bodies)) == 1
    assert (lasting.fetches("crowd.jpg"), renders(lasting)) == ([200], before + 1)
    lasting.put("sized.jpg")
    lasting.web.behave("/sized.jpg", Behaviour(delay_s=0.3))
    bodies = asyncio.run(asked_at_once(lasting, [url("sized.jpg", width) for width in range(40, 50)] * 10))
    assert len(set(bodies)) == 10
    assert (lasting.fetches("sized.jpg"), renders(lasting)) == ([200], before + 11)


@pytest.mark.usefixtures("many_files")
def test_a_crowd_gets_one_picture_in_place_of_a_missing_one(lasting: Gets) -> None:
    lasting.web.behave("/gone.jpg", Behaviour(delay_s=0.3))
    before = renders(lasting)
    assert len(set(asyncio.run(asked_at_once(lasting, [url("gone.jpg", 9)] * 200)))) == 1
    assert (lasting.fetches("gone.jpg"), renders(lasting)) == ([404], before + 1)


def test_a_client_that_leaves_ends_its_request_for_itself(strict: Gets) -> None:
    """The last one ends the download, or the render."""
    strict.put("left.jpg")
    strict.web.behave("/left.jpg", Behaviour(delay_s=0.8))

    first, other = begun(strict, url("left.jpg")), begun(strict, url("left.jpg"), Connection="close")
    wait_until(lambda: strict.fetches("left.jpg"))
    assert strict.get("/health").status == 200  # what was sent before has been read
    first.close()
    answer = b"".join(iter(lambda: other.recv(65_536), b""))
    other.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert strict.fetches("left.jpg") == [200]


def test_the_last_client_that_leaves_ends_what_is_done_for_it(strict: Gets) -> None:
    strict.put("never.jpg")
    strict.put("slow.svg", slow_svg(20_000))
    strict.web.behave("/never.jpg", Behaviour(never=True))
    clients = [begun(strict, url("never.jpg")), begun(strict, url("never.jpg"))]
    wait_until(lambda: strict.metric('transfers{state="running"') == 1)
    clients.pop().close()
    time.sleep(0.1)
    assert strict.metric('transfers{state="running"') == 1
    clients.pop().close()
    wait_until(lambda: strict.metric('transfers{state="running"') == 0)
    ended = strict.metric('worker_ends_total{cause="cancelled"')
    drawing = begun(strict, imgproxy_signed("/rs:fit:1000:1000/f:png/plain/slow.svg"))
    wait_until(lambda: strict.metric('workers{role="render",state="busy"') == 1)
    drawing.close()
    wait_until(lambda: strict.metric('worker_ends_total{cause="cancelled"') == ended + 1)
    strict.put("after.jpg")
    assert strict.get(url("after.jpg")).status == 200
    assert "state=gone" in strict.server.log


def test_a_picture_that_the_cache_has_lost_is_known_by_its_tag(strict: Gets) -> None:
    """The tag follows from the source's, which is there still: no fetch and no render say that it is unchanged."""
    strict.put("lost.jpg")
    etag = strict.get(url("lost.jpg"))["etag"]
    assert strict.server.stop() == 0
    shutil.rmtree(strict.server.data_dir / "cache" / "pictures")
    strict.server.start()
    reply = strict.get(url("lost.jpg"), If_None_Match=etag)
    assert (reply.status, reply["etag"], state(strict, reply)) == (304, etag, "known")
    assert (strict.fetches("lost.jpg"), renders(strict)) == ([200], 0)
    made = strict.get(url("lost.jpg"), If_None_Match='"another"')
    assert (made.status, made["etag"], state(strict, made)) == (200, etag, "made")


def test_pictures_are_there_after_a_restart(lasting: Gets) -> None:
    lasting.put("kept.jpg")
    paths = (url("kept.jpg"), thumbor("kept.jpg"), iiif("kept.jpg"))
    before = [lasting.get(path) for path in paths]
    assert lasting.server.stop() == 0
    lasting.server.start()
    after = [lasting.get(path) for path in paths]
    assert [(reply.body, reply["etag"]) for reply in after] == [(reply.body, reply["etag"]) for reply in before]
    assert [state(lasting, reply) for reply in after] == ["hit"] * 3
    assert (lasting.fetches("kept.jpg"), renders(lasting)) == ([200], 0)
