"""How long a cached answer is used, and the headers of conditional requests and of caches."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.engine.cache.entry import Key, Meta, Validator
from imgserve.engine.cache.freshness import (
    Lifetimes,
    cache_control,
    entity_tag,
    freshness,
    is_not_modified,
    stamped,
)

NOW = 1_800_000_000.0
META = Meta("image/jpeg", '"abc"', NOW, NOW)
KEY = Key("http://a.test/1.jpg", "rs:100", "webp", "imgserve 1")


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [
        (0, "fresh"),
        (59.9, "fresh"),
        (60, "stale"),
        (69.9, "stale"),
        (70, "error"),
        (159.9, "error"),
        (160, "expired"),
        (-59, "fresh"),  # NTP's steps
    ],
)
def test_an_answer_grows_old(after_s: float, expected: str) -> None:
    meta = stamped(META, NOW, Lifetimes(60, 10, 100))
    assert freshness(meta, NOW + after_s) == expected


def test_a_wall_clock_that_was_set_back_makes_no_answer_fresh_for_ever() -> None:
    meta = stamped(META, NOW, Lifetimes(60, 10, 100))
    assert freshness(meta, NOW - 86_400) == "stale"


def test_without_lifetimes_nothing_is_used_again() -> None:
    assert freshness(stamped(META, NOW, Lifetimes(0)), NOW) == "expired"


@pytest.mark.parametrize(
    ("tags", "etag", "expected"),
    [
        ('"abc"', '"abc"', True),
        ('W/"abc"', '"abc"', True),  # the comparison is weak
        ('"abc"', 'W/"abc"', True),
        ("*", '"abc"', True),
        (" * ", '"abc"', True),
        ('"x", "abc"', '"abc"', True),
        ('"x",W/"abc","y"', '"abc"', True),
        (',, "x" ,,"abc"', '"abc"', True),
        ('"x,\\"abc"', '"abc"', False),
        ('"a,b", "c"', '"a,b"', True),
        ('"abcd"', '"abc"', False),
        ("abc", '"abc"', False),
        ('w/"abc"', '"abc"', False),
        ('"abc', '"abc"', False),
        ('"x" "abc"', '"abc"', True),
        ('garbage, "abc"', '"abc"', False),
        ('""', "", False),
        ("", '"abc"', False),
        ('*, "x"', '"abc"', False),
    ],
)
def test_if_none_match_is_a_list(tags: str, etag: str, expected: bool) -> None:
    assert is_not_modified(msgspec.structs.replace(META, etag=etag), tags, "") is expected


@given(st.lists(st.text('abW/"*, \t\u00ff', max_size=6)), st.text("ab, *W/", max_size=4))
def test_if_none_match_never_matches_another_tag(words: list[str], opaque: str) -> None:
    header = ",".join(words)
    meta = msgspec.structs.replace(META, etag=f'"{opaque}"')
    if is_not_modified(meta, header, ""):
        assert f'"{opaque}"' in header or header.strip() == "*"


@given(st.lists(st.text("ab, *W/", max_size=4)), st.integers(0, 20), st.booleans())
def test_a_tag_is_found_anywhere_in_a_list(opaques: list[str], at: int, is_weak: bool) -> None:
    tags = [f'"{opaque}"' if number % 2 else f'W/"{opaque}"' for number, opaque in enumerate(opaques)]
    tags.insert(min(at, len(tags)), 'W/"mine"' if is_weak else '"mine"')
    visible = ", ".join(tag.replace(" ", "_") for tag in tags)
    assert is_not_modified(msgspec.structs.replace(META, etag='"mine"'), visible, "")


def test_long_lists_take_linear_time() -> None:
    assert not is_not_modified(META, ", " * 400_000 + '"' * 400_000, "")


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", True),
        ("Fri, 15 Jan 2027 07:59:59 GMT", False),
        ("Friday, 15-Jan-27 08:00:00 GMT", True),
        ("Fri Jan 15 08:00:01 2027", True),
        ("yesterday", False),
        ("Fri, 15 Jan 99999 08:00:00 GMT", False),
        ("1" * 100_000, False),
    ],
)
def test_if_modified_since_reads_the_three_forms(since: str, expected: bool) -> None:
    assert is_not_modified(msgspec.structs.replace(META, last_modified_s=1_800_000_000), "", since) is expected


def test_if_none_match_decides_alone() -> None:
    meta = msgspec.structs.replace(META, last_modified_s=1)
    assert not is_not_modified(meta, '"other"', "Fri, 15 Jan 2027 08:00:00 GMT")


def test_an_error_is_never_unmodified() -> None:
    assert not is_not_modified(msgspec.structs.replace(META, status=404), "*", "")


def test_the_tag_depends_on_key_and_source() -> None:
    one = Validator(etag='"1"')
    tags = {
        entity_tag(KEY, one),
        entity_tag(KEY, Validator(etag='"2"')),
        entity_tag(KEY, Validator(digest='"1"')),
        *(entity_tag(msgspec.structs.replace(KEY, **{field: "other"}), one) for field in KEY.__struct_fields__),
    }
    assert len(tags) == 7
    assert all(tag.startswith('"') and tag.endswith('"') and '"' not in tag[1:-1] for tag in tags)
    assert entity_tag(KEY, one) == entity_tag(KEY, Validator(etag='"1"'))


def test_the_tag_is_strong_where_the_source_s_bytes_are_identified() -> None:
    assert entity_tag(KEY, Validator(etag='W/"1"')).startswith('W/"')
    assert entity_tag(KEY, Validator(last_modified="Fri, 15 Jan 2027 08:00:00 GMT")).startswith('W/"')
    assert entity_tag(KEY, Validator(etag='W/"1"', digest="abc")).startswith('"')
    assert entity_tag(KEY, Validator()) == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"max_age_s": 3600}, "public, max-age=3600"),
        ({"max_age_s": 3600, "stale_while_revalidate_s": 60}, "public, max-age=3600, stale-while-revalidate=60"),
        ({"max_age_s": 3600, "is_public": False}, "private, max-age=3600"),
        ({"max_age_s": 0}, "no-cache"),
        ({"max_age_s": 0, "is_public": False}, "private, no-cache"),
        ({"max_age_s": 3600, "status": 404}, "no-store"),
        ({"max_age_s": 3600, "expires_at_s": NOW + 60, "now_s": NOW}, "public, max-age=60"),
        ({"max_age_s": 3600, "expires_at_s": NOW - 1, "now_s": NOW}, "no-cache"),
        (
            {"max_age_s": 50, "stale_while_revalidate_s": 100, "expires_at_s": NOW + 60, "now_s": NOW},
            "public, max-age=50, stale-while-revalidate=10",
        ),
        (
            {"max_age_s": 50, "stale_while_revalidate_s": 9, "expires_at_s": NOW + 20, "now_s": NOW},
            "public, max-age=20",
        ),
        (
            {"max_age_s": 3600, "stale_while_revalidate_s": 60, "stale_if_error_s": 86_400},
            "public, max-age=3600, stale-while-revalidate=60, stale-if-error=86400",
        ),
        (  # a cache shows no picture of yesterday where one may be kept for a minute
            {"max_age_s": 60, "stale_while_revalidate_s": 86_400, "stale_if_error_s": 86_400},
            "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400",
        ),
        (
            {"max_age_s": 50, "stale_if_error_s": 86_400, "expires_at_s": NOW + 60, "now_s": NOW},
            "public, max-age=50, stale-if-error=10",
        ),
        ({"max_age_s": 0, "stale_while_revalidate_s": 60, "stale_if_error_s": 60}, "no-cache"),
        ({"max_age_s": 60, "stale_if_error_s": 60, "status": 404}, "no-store"),
        (
            {"max_age_s": 60, "stale_while_revalidate_s": 60, "stale_if_error_s": 60, "is_public": False},
            "private, max-age=60",
        ),
    ],
)
def test_cache_control(arguments: dict[str, float], expected: str) -> None:
    assert cache_control(**arguments) == expected  # type: ignore[arg-type]
