"""Native jobs as JSON: every field there and back, the format of a result, tags, and each fault with its path."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from imgserve.request.destination import Destination
from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest, OutputRequest, Placeholder, resolve, trial_places
from imgserve.request.json_text import read_object
from imgserve.request.limits import Limits
from imgserve.request.native import PresetsOnly
from imgserve.request.native_job import MAX_WAIT_S, MOST_FAULTS, dump_job, parse_job
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.tags import NATIVE
from tests.support.sizes import sized
from tests.unit.request.recipes import recipes
from tests.unit.request.test_properties import steady, values

NOW = 1_800_000_000.0
SOURCE = "https://shop.test/pictures/photo.old.jpg"
CARD = Recipe((Resize(60, 40),), Encode("webp", 70))
PUT = "https://cdn.test/{$name}"


def job(*outputs: object, **fields: object) -> dict[str, object]:
    return {"source": SOURCE, "outputs": list(outputs), **fields}


def to(destination: object, **fields: object) -> dict[str, object]:
    return {"destination": destination, **fields}


def parsed(value: object, **presets: Recipe) -> JobRequest:
    return parse_job(value, presets, now=NOW, has_parts=True)


def output(destination: object, source: str = SOURCE, **fields: object) -> OutputRequest:
    [only] = parsed({"source": source, "outputs": [to(destination, **fields)]}).outputs
    return only


def faults_of(value: object, **presets: Recipe) -> list[str]:
    with pytest.raises(RequestInvalid) as caught:
        parsed(value, **presets)
    return [fault.sentence() for fault in caught.value.faults]


def paths_of(value: object) -> list[tuple[str | int, ...]]:
    with pytest.raises(RequestInvalid) as caught:
        parsed(value)
    return [fault.path for fault in caught.value.faults]


def place(destination: object, info: ImageInfo | None = None, source: str = SOURCE, **fields: object) -> Destination:
    request = parsed({"source": source, "outputs": [to(destination, **fields)]})
    header = info or ImageInfo("jpeg", 640, 480)
    return resolve(request.outputs[0], request.source, header, Limits(), job_id="5f3a").placement.destination


DESTINATIONS: list[Any] = [
    "ftp://u:p@h.test/{$basename}-{$width}.{$ext}",
    "file:///srv/out/{$job}/{$name}.{$source_ext}",
    "https://h.test/a.webp?X-Amz-Signature=1",
    "http://h.test/receive.php?id={$name}",
    {"url": PUT},
    {"url": PUT, "method": "PUT", "content_type": "none"},
    {"url": "http://h.test/up:{$name}.{$ext}", "method": "POST"},
    {"url": "http://h.test/up?x=1:{$width}.png", "field_name": "picture", "form_success": "redirect"},
    {"url": PUT, "headers": {"X-Tenant": "a b", "Cache-Control": "max-age=9"}, "credential": "store_1"},
    {
        "url": "s3://pics/{$basename}-{$width}.png",
        "headers": {"Cache-Control": "max-age=9", "X-Amz-Meta-Shop": "4711"},
        "credential": "store_1",
    },
    {"url": "http://h.test/up:a.png", "method": "POST", "headers": {"x-a": "1"}},
]
WEBHOOKS: list[Any] = [
    "https://me.test/hook#x", {"url": "HTTP://u:p@Me.test/ä"}, {"url": "http://h/", "secret": "s", "headers": {}},
    {"url": "http://h/", "events": ["output.failed", "job.failed"], "headers": {"X-A": "1", "b": "2"}},
]  # fmt: skip
PLACEHOLDERS: list[Any] = [
    "text", "solid", "none", {}, {"style": "none", "if_exists": "keep"}, {"color": "red", "text": "ü\n"},
]  # fmt: skip


def outputs() -> st.SearchStrategy[dict[str, object]]:
    fields = {
        "name": st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
        "placeholder": st.sampled_from(PLACEHOLDERS),
        "on_failure": st.sampled_from(["error_image", "keep_placeholder", "delete"]),
    }
    placed = st.fixed_dictionaries({"destination": st.sampled_from(DESTINATIONS)}, optional=fields)
    return st.tuples(recipes(), placed).map(lambda parts: parts[0] | parts[1])


JOBS = st.fixed_dictionaries(
    {
        "source": st.sampled_from(
            [
                SOURCE,
                {"url": "FTP://u:p@h.test/a%20b"},
                "file:///srv/a.svg",
                "ftps://h:21/x.gif",
                {"url": SOURCE, "headers": {"X-A": "1"}, "credential": "c", "digest": "sha256:" + "aB" * 32},
                {"upload": "my photo.jpg"},
                "data:image/png;base64,AAEC",
            ]
        ),
        "outputs": st.lists(outputs(), min_size=1, max_size=3),
    },
    optional={
        "priority": st.sampled_from(["high", "normal", "low"]),
        "not_before": st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 20)).map(  # noqa: DTZ001 - hypothesis takes no others
            lambda time: f"{time.isoformat()}+02:30"
        ),
        "deadline_s": st.floats(60, 604_800) | st.integers(60, 604_800),
        "webhook": st.sampled_from(WEBHOOKS),
        "metadata": st.dictionaries(st.text("aü", max_size=9), st.text("aü \n\t", max_size=9), max_size=3),
    },
)


@settings(steady, max_examples=sized(120, 3000))
@given(JOBS)
def test_a_job_survives_json(value: dict[str, object]) -> None:
    try:
        request = parsed(value)
    except RequestInvalid:
        event("refused")
        return
    event("accepted")
    text = json.dumps(dump_job(request))
    assert parsed(read_object(text.encode())) == request


@settings(steady, max_examples=sized(120, 3000))
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["source", "priority", "not_before", "deadline_s", "metadata", "webhook"], values)
    ),
    st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["name", "preset", "destination", "placeholder", "on_failure", "x"], values)
        )
        | values,
        max_size=3,
    )
    | values,
)
def test_any_value_is_refused_by_its_fields(fields: dict[str, object], placed: object) -> None:
    paths = paths_of({**fields, "outputs": placed})
    assert all(path[0] in (*fields, "source", "outputs") for path in paths)


@pytest.mark.parametrize("name", ["source", "outputs"])
def test_a_job_needs_its_source_and_its_outputs(name: str) -> None:
    value = job(to(PUT))
    del value[name]
    assert faults_of(value) == [f"{name}: this field is missing"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source": 3}, "source: expected a URL, got no text"),
        ({"source": {}}, "source.url: this field is missing"),
        ({"source": {"url": "x"}}, "source.url: expected a URL that begins with http://"),
        ({"source": {"url": SOURCE, "headers": {"Host": "h"}}}, "source.headers.Host: imgserve alone sets this header"),
        ({"source": {"url": SOURCE, "headers": []}}, "source.headers: expected an object of texts"),
        ({"source": {"url": SOURCE, "digest": "md5:0"}}, "source.digest: expected sha256: and 64 hexadecimal digits"),
        ({"source": {"url": SOURCE, "credential": "a b"}}, "source.credential: expected the name of a credential"),
        (
            {"source": {"url": "s3://pics/a", "headers": {"Cache-Control": "x"}}},
            "source.headers: belongs to an http(s)",
        ),
        ({"source": {"url": "ftp://h/a", "headers": {}}}, "source.headers: belongs to an http(s) source"),
        ({"source": {"url": "file:///a", "credential": "x"}}, "source.credential: belongs to an http(s) or s3 source"),
        ({"source": {"url": "http://u@h/", "credential": "x"}}, "source.credential: the URL has a user name"),
        ({"source": "gs://bucket/a.png"}, "source: this version does not speak gs yet"),
        ({"source": {"upload": ""}}, "source.upload: expected the name of a part"),
        ({"source": {"upload": 7}}, "source.upload: expected the name of a part"),
        ({"source": {"upload": "p", "credential": "c"}}, "source.credential: belongs to a url"),
        ({"source": {"upload": "p", "url": SOURCE}}, "source.url: contradicts source.upload; give one of the two"),
        ({"source": "DATA:image/png;base64,AA"}, "source: expected base64 behind the comma"),
        ({"source": f"upload:{'f' * 32}"}, "source: the protocol is unknown; use http://"),
        ({"webhook": None}, "webhook: expected an http(s) URL"),
        ({"webhook": "ftp://h/"}, "webhook: expected an http(s) URL"),
        ({"webhook": "http://"}, "webhook: expected a host name after the scheme"),
        ({"webhook": {}}, "webhook.url: this field is missing"),
        ({"webhook": {"url": "x"}}, "webhook.url: expected an http(s) URL"),
        ({"webhook": {"url": SOURCE, "events": []}}, "webhook.events: expected from 1 to 6 in the list, got 0"),
        ({"webhook": {"url": SOURCE, "events": ["job.done"]}}, 'webhook.events[0]: expected "job.cancelled"'),
        ({"webhook": {"url": SOURCE, "events": ["job.failed"] * 2}}, "webhook.events: expected each event once"),
        ({"webhook": {"url": SOURCE, "secret": "whsec_" + "A" * 32}}, "webhook.secret: expected the name of a"),
        ({"webhook": {"url": SOURCE, "headers": {"webhook-id": "1"}}}, "webhook.headers.webhook-id: imgserve alone"),
        ({"webhook": {"url": SOURCE, "event": []}}, 'webhook.event: unknown, did you mean "events"?'),
        ({"priorty": "high"}, 'priorty: unknown, did you mean "priority"?'),
        ({"priority": "urgent"}, 'priority: expected "high", "low" or "normal", got "urgent"'),
        ({"priority": None}, 'priority: expected "high", "low" or "normal", got null'),
        ({"not_before": NOW}, "not_before: expected a time such as 2030-01-31T18:00:00Z, got 1800000000.0"),
        ({"not_before": "2027-01-22T08:00:01Z"}, "not_before: expected a time at most 7 days ahead"),
        ({"not_before": "2027-01-15"}, 'not_before: expected a time such as 2030-01-31T18:00:00Z, got "2027-01-15"'),
        ({"not_before": "1969-12-31T23:59:59Z"}, "not_before: expected a time such as 2030-01-31T18:00:00Z"),
        ({"not_before": "2026-02-29T00:00:00Z"}, "not_before: expected a time such as 2030-01-31T18:00:00Z"),
        ({"deadline_s": 59}, "deadline_s: expected a number from 60 to 604800, got 59"),
        ({"deadline_s": "60"}, 'got "60"; write it without quotes: 60'),
        ({"metadata": ["a"]}, "metadata: expected an object of texts, got a list"),
        ({"metadata": {"order": 3}}, "metadata.order: expected printable text, got 3"),
        ({"metadata": {"a\x00": "x"}}, "metadata: a key holds control characters"),
        ({"metadata": {"b": "\ud800"}}, "metadata.b: expected printable text, got a text of 1 characters"),
        ({"metadata": {"a b": "\x1b[2J"}}, "metadata: expected printable text, got a text of 4 characters"),
        ({"metadata": dict.fromkeys(map(str, range(51)), "")}, "metadata: expected at most 50 keys, got 51"),
        (
            {"metadata": {"a": "x" * 2048, "b": "ü" * 1024}},
            "metadata: expected at most 4,096 bytes of keys and texts together, got 4,098",
        ),
        ({"outputs": {}}, "outputs: expected a list of outputs, got an object"),
        ({"outputs": []}, "outputs: expected from 1 to 50 outputs, got 0"),
        ({"outputs": [to(f"{PUT}{index}") for index in range(51)]}, "outputs: expected from 1 to 50 outputs, got 51"),
        ({"outputs": [3]}, "outputs[0]: expected an object, got 3"),
        ({"outputs": [{}]}, "outputs[0].destination: this field is missing"),
        ({"outputs": [to(PUT, nmae="x")]}, 'outputs[0].nmae: unknown, did you mean "name"?'),
        ({"outputs": [to(PUT, name="a b")]}, "outputs[0].name: expected 1 to 64 letters, digits, - and _"),
        ({"outputs": [to(PUT, name="a\n")]}, "outputs[0].name: expected 1 to 64 letters, digits, - and _"),
        ({"outputs": [to(PUT, name="")]}, "outputs[0].name: expected 1 to 64 letters, digits, - and _"),
        ({"outputs": [to(PUT, name="x" * 65)]}, "outputs[0].name: expected 1 to 64 letters, digits, - and _"),
        (
            {"outputs": [to(f"{PUT}-a", name="1"), to(PUT)]},
            "outputs[1].name: expected a name of its own; outputs[0] has this one, given or by its index",
        ),
        (
            {"outputs": [to("http://H/a.png?X-Amz-Signature=1"), to("http://h:80/a.png")]},
            "outputs[1].destination: expected another place than that of outputs[0].destination",
        ),
        ({"outputs": [to(PUT, operations=[{"operation": "flip", "x": 1}])]}, "outputs[0].operations[0].x: unknown"),
        ({"outputs": [to(PUT, preset="card")]}, "outputs[0].preset: expected the name of a preset"),
        (
            {"outputs": [to(PUT, placeholder="blue")]},
            'outputs[0].placeholder: expected "none", "solid", "text" or an object',
        ),
        ({"outputs": [to(PUT, placeholder={"style": "x"})]}, "outputs[0].placeholder.style: expected"),
        ({"outputs": [to(PUT, placeholder={"if_exists": "skip"})]}, "outputs[0].placeholder.if_exists: expected"),
        ({"outputs": [to(PUT, placeholder={"size": 3})]}, "outputs[0].placeholder.size: unknown"),
        ({"outputs": [to(PUT, on_failure="nothing")]}, "outputs[0].on_failure: expected"),
    ],
)
def test_faults_have_their_paths(fields: dict[str, object], sentence: str) -> None:
    found = faults_of(job(to(PUT)) | fields)
    assert any(sentence in fault for fault in found), found
    assert len(found) == 1, found


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        (3, "destination: expected a URL, got no text"),
        ({}, "destination.url: this field is missing"),
        ({"url": ""}, "destination.url: expected a URL, got nothing"),
        ("gs://bucket/a.png", "destination: this version does not speak gs yet"),
        ({"url": PUT, "headers": {"te": "x"}}, "destination.headers.te: imgserve alone sets this header"),
        ({"url": PUT, "credential": ""}, "destination.credential: expected the name of a credential"),
        ({"url": "file:///a.png", "headers": {}}, "destination.headers: belongs to an http(s) destination"),
        (
            {"url": "s3://pics/a.png", "headers": {"X-Amz-Acl": "public-read"}},
            "destination.headers: an object in a bucket takes Cache-Control, Content-Disposition, Content-Language and",
        ),
        (
            {"url": "s3://pics/a.png", "headers": {"X-Amz-Meta-Imgserve-State": "final"}},
            "destination.headers: an object in a bucket takes Cache-Control, Content-Disposition, Content-Language and",
        ),
        (
            {"url": "s3://pics/a.png", "headers": {"x-amz-meta-a": "x" * 1_900}},
            "destination.headers: expected at most 1,900 bytes of X-Amz-Meta-…",
        ),
        (
            {"url": "ftp://h/a.png", "credential": "x"},
            "destination.credential: belongs to an http(s) or s3 destination",
        ),
        ({"url": "http://u:p@h/a.png", "credential": "x"}, "destination.credential: the URL has a user name"),
        ({"url": PUT, "methd": "PUT"}, 'destination.methd: unknown, did you mean "method"?'),
        ({"url": PUT, "method": "put"}, 'destination.method: expected "POST" or "PUT", got "put"'),
        ({"url": "http://h/up:a.png", "field_name": ""}, "destination.field_name: expected the name of the form's"),
        (
            {"url": "http://h/up:a.png", "field_name": "f", "method": "PUT"},
            'destination.field_name: belongs to an upload form; set outputs[0].destination.method = "POST"',
        ),
        (
            {"url": PUT, "form_success": "redirect"},
            'destination.form_success: belongs to an upload form; set outputs[0].destination.method = "POST"',
        ),
        ({"url": "http://h/up:a.png", "field_name": "f", "content_type": "none"}, "destination.content_type: belongs"),
        ({"url": "ftp://h/a.png", "method": "POST"}, "destination.method: belongs to an http(s) destination"),
        ({"url": "file:///a.png", "field_name": "f"}, "destination.field_name: belongs to an http(s) destination"),
        ({"url": "http://h/up", "method": "POST"}, "destination.url: expected <page URL>:<file name>"),
        ("https://{$name}.test/a.png", "destination: not a URL: bad hostname"),
        ("https://h.test/{$extension}", "destination: an unknown tag; the tags are {$width}, {$height}, {$basename}"),
        ("https://h.test/${source_ext}", "destination: a tag is written {$source_ext}, did you mean that?"),
        ("https://h.test/{name}", "destination: a tag is written {$name}, did you mean that?"),
        ("https://h.test/{$job", "destination: a tag is not closed; the tags are {$width}, {$height}, {$basename}"),
        ("https://h.test/a.bmp", "destination: the extension is no format that can be written"),
        ("https://h.test/a.wepb", "destination: the extension is no format that can be written"),
    ],
)
def test_faults_of_a_destination(destination: object, sentence: str) -> None:
    [found] = faults_of(job(to(destination)))
    assert found.startswith(f"outputs[0].{sentence}")


@pytest.mark.parametrize(
    ("destination", "fields", "path"),
    [
        ({"url": "http://h/up:a.png", "method": "POST"}, {"on_failure": "delete"}, "on_failure"),
        ("http://h/a.png?X-Amz-Signature=1", {"on_failure": "delete"}, "on_failure"),
        (
            {"url": "http://h/up:a.png", "method": "POST"},
            {"placeholder": {"if_exists": "keep"}},
            "placeholder.if_exists",
        ),
        ("http://h/a.png?X-Amz-Signature=1", {"placeholder": {"if_exists": "keep"}}, "placeholder.if_exists"),
    ],
)
def test_a_destination_that_can_neither_be_asked_nor_cleared(
    destination: object, fields: dict[str, object], path: str
) -> None:
    [found] = faults_of(job(to(destination, **fields)))
    assert found.startswith(f"outputs[0].{path}: a form or presigned URL cannot")


def test_a_form_with_a_faulty_field_is_still_a_form() -> None:
    place = {"url": "http://h/up:a.png", "field_name": "x" * 201, "form_success": "redirect"}
    assert paths_of(job(to(place))) == [("outputs", 0, "destination", "field_name")]


def test_all_faults_come_at_once() -> None:
    value = {
        "source": {"url": "x", "headers": {"": "x"}}, "priority": 1, "deadline_s": 1, "metadata": {"a": 1},
        "webhook": "x", "not_before": "x",
        "outputs": [
            {"name": "a b", "encode": {"quality": 0}, "destination": "http://h/{$x}.bmp", "on_failure": 1},
            {"name": "d", "preset": "x", "destination": {"url": "http://h/{$y}", "method": "x"}, "placeholder": 3},
            {"name": "d"},
            "x",
        ],
    }  # fmt: skip
    assert set(paths_of(value)) == {
        ("source", "url"), ("source", "headers"), ("priority",), ("deadline_s",), ("metadata", "a"), ("webhook",),
        ("not_before",), ("outputs", 0, "name"), ("outputs", 0, "encode", "quality"), ("outputs", 0, "destination"),
        ("outputs", 0, "on_failure"), ("outputs", 1, "preset"), ("outputs", 1, "destination", "url"),
        ("outputs", 1, "destination", "method"), ("outputs", 1, "placeholder"), ("outputs", 2, "name"),
        ("outputs", 2, "destination"), ("outputs", 3),
    }  # fmt: skip


def test_each_of_50_outputs_tells_its_fault_and_a_flood_is_cut() -> None:
    assert len(paths_of(job(*[to(3)] * 50))) == 50
    flood = paths_of(job(*[to(3, operations=[{"operation": "x"}] * 32)] * 50))
    assert MOST_FAULTS < len(flood) < MOST_FAULTS + 50
    assert ("outputs",) in flood


def test_the_defaults() -> None:
    request = parsed(job(to("https://h.test/a.png")))
    assert request == JobRequest(request.source, request.outputs, protocol="v1")
    assert request.outputs == (
        OutputRequest(Recipe((), Encode("png")), request.outputs[0].destination, Placeholder(), name="0"),
    )
    assert request.outputs[0].destination.kind == "put"
    assert output({"url": "http://h/up:a.png", "method": "POST"}).destination.field == "file"


def test_times() -> None:
    assert parsed(job(to(PUT), not_before="2027-01-15T09:00:00.25+01:00")).not_before == NOW + 0.25
    assert parsed(job(to(PUT), not_before="2027-01-22T08:00:00Z")).not_before == NOW + MAX_WAIT_S
    assert parsed(job(to(PUT), not_before="2020-01-01t00:00:00z")).not_before == 1_577_836_800.0
    assert parsed(job(to(PUT), deadline_s=60)).deadline_s == 60.0


def test_the_texts_of_metadata_are_kept_as_they_are() -> None:
    texts = {"order id": "4711", "note": "ü\n\t", "": ""}
    assert parsed(job(to(PUT), metadata=texts)).metadata == texts


def test_presets() -> None:
    request = parsed(job(to(PUT, preset="card", encode={"quality": 3})), card=CARD)
    assert request.outputs[0].recipe == Recipe((Resize(60, 40),), Encode("webp", 3))
    with pytest.raises(PresetsOnly) as caught:
        parse_job(job(to(PUT, preset="card"), to(PUT, operations=[])), {"card": CARD}, presets_only=True, now=NOW)
    assert "use outputs[1].preset" in caught.value.sentence()
    # What the format of a preset's result does not have is ignored, also after a dump.
    request = parsed(job(to("ftp://h/a.png", preset="q")), q=Recipe((), Encode(quality=3)))
    assert request.outputs[0].recipe.encode == Encode("png", 3)
    assert parsed(dump_job(request)) == request


@pytest.mark.parametrize(
    ("destination", "named", "own"),
    [
        ("https://h/a.webp", None, "webp"),
        ("https://h/a.JPE", None, "jpeg"),
        ("https://h/a%2Epng?x=.gif", None, "png"),
        ("https://h/a", "png", "png"),
        ("https://h/a", None, None),
        ("https://h/{$basename}", None, None),
        ("https://h/{$basename}.{$ext}", None, None),
        ("https://h/{$basename}.{$ext}", "tiff", "tiff"),
        ("https://h/{$basename}.{$source_ext}", None, "jpeg"),
        ("https://h/a.php", "webp", "webp"),
        ("https://h/a.{$width}", "webp", "webp"),
        ({"url": "https://h/up.php:{$name}.gif", "method": "POST"}, None, "gif"),
    ],
)
def test_the_format_is_named_or_the_extensions_or_open(destination: object, named: str | None, own: str | None) -> None:
    encode = {"format": named} if named else {}
    assert output(destination, encode=encode).recipe.encode.format == own


@pytest.mark.parametrize(
    ("destination", "format_", "meaning"),
    [
        ("https://h/a.jpg", "png", "which means jpeg"),
        ("https://h/{$basename}.{$source_ext}", "webp", "which means jpeg"),
        ("https://h/a.html", "png", "which is another kind of file"),
    ],
)
def test_a_named_format_must_not_contradict_the_extension(destination: str, format_: str, meaning: str) -> None:
    [found] = faults_of(job(to(destination, encode={"format": format_})))
    assert found.startswith(f"outputs[0].encode.format: {format_} contradicts the extension of outputs[0].destination,")
    assert found.endswith(meaning)


def test_tags() -> None:
    url = "https://u:{$name}@h.test/{$width}x{$height}/{$basename}/{$name}.{$ext}?s={$source_ext}&j={$job}#{$width}"
    operations = [{"operation": "resize", "width": 300, "height": 200}]
    filled = place(url, name="card", operations=operations)
    assert filled.shown == "https://u:{$name}@h.test/300x200/photo.old/card.jpg?s=jpg&j=5f3a#300"
    odd = "https://shop.test/a%20{$job}ä%3F.PNG?x=.gif"
    assert place("https://h/{$basename}.{$ext}?{$source_ext}", source=odd, encode={"format": "tiff"}).url == (
        "https://h/a%20%7B$job%7D%C3%A4%3F.tiff?PNG"
    )
    assert place("file:///o/{$basename}.{$ext}", ImageInfo("gif", 3, 3), source=odd).path == "/o/a {$job}ä?.gif"


@pytest.mark.parametrize(
    ("tag", "source"),
    [("source_ext", "https://shop.test/photo"), ("basename", "https://shop.test/"), ("basename", "http://h/.png")],
)
def test_a_tag_without_value_is_a_fault(tag: str, source: str) -> None:
    [found] = faults_of({"source": source, "outputs": [to("https://h/x-{$" + tag + "}.png")]})
    assert found.startswith("outputs[0].destination: {$" + tag + "} is empty, since the source's")


def test_places_are_compared_as_far_as_they_are_known() -> None:
    alike = "https://h/{$basename}.jpg"
    assert faults_of(job(to(alike), to("https://h/photo.old.jpg")))[0].startswith("outputs[1].destination: expected")
    by_result = [to("https://h/{$width}.png"), to("https://h/1.png"), to("https://h/{$ext}"), to("https://h/-")]
    assert len(parsed(job(*by_result)).outputs) == 4
    wrong = {"source": 3, "outputs": [to(alike), to("https://h/name.jpg"), to("https://h/{$source_ext}.gif")]}
    assert paths_of(wrong) == [("source",)]


def test_no_fault_follows_from_another() -> None:
    unknown = to("https://h/a.{$source_ext}", encode={"format": "webp"})
    assert paths_of({"source": 3, "outputs": [unknown]}) == [("source",)]
    perhaps_named = to("https://h/a.php", preset="crad")
    assert paths_of(job(perhaps_named)) == [("outputs", 0, "preset")]


def test_a_file_whose_place_depends_on_the_result_is_judged_later() -> None:
    judged = {"{$name}": False, "{$width}": True, "{$job}": True}
    for tag, is_later in judged.items():
        assert output(f"file:///o/{tag}/a.png").destination.awaits_result == is_later
    [trial] = trial_places(parsed(job(to("file:///o/{$basename}.{$ext}"))))
    assert trial.path == "/o/photo.old.-"


def test_an_open_size_needs_neither_placeholder_nor_tag() -> None:
    fields: dict[str, Any] = {"operations": [{"operation": "trim"}]}
    with pytest.raises(RequestInvalid) as caught:
        place("https://h/{$height}.png", **fields)
    assert [fault.path for fault in caught.value.faults] == [("placeholder",), ("destination",)]
    assert place("https://h/{$name}.png", placeholder="none", **fields).path == "/0.png"


@settings(steady, max_examples=sized(100, 1000))
@given(st.text("ab:@/#?%{}$[]\\ .é\n", max_size=6), st.sampled_from(["http", "ftp", "file", "s3", "x", ""]))
def test_no_secret_is_ever_repeated(around: str, scheme: str) -> None:
    secret = f"{scheme}://user:{around}hunter2secret{around}@h/{{$x}}.bmp"
    value = {
        secret: 1, "source": secret, "priority": secret, "metadata": {secret: secret},
        "outputs": [{
            "name": secret, "destination": {"url": secret, "method": secret, "field_name": secret, secret: 1},
            "placeholder": {"text": 3, secret: 1}, "on_failure": secret, "encode": {"format": secret},
        }],
    }  # fmt: skip
    assert "hunter2secret" not in "".join(faults_of(value))


def test_the_reference_names_every_tag_and_its_example_is_a_job() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/job.md").read_text()
    assert all("{$" + tag + "}`" in page for tag in NATIVE)
    example = page.partition("```json\n")[2].partition("```")[0]
    assert [one.name for one in parsed(json.loads(example), page=Recipe(())).outputs] == ["card", "page"]
