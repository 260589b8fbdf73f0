"""The expiry of presigned URLs, by the spellings of Amazon, Google, CloudFront and Azure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.presigned import earliest_expiry, expiry_of

# 2026-11-29T12:00:00Z
NOON = 1_795_953_600.0


@pytest.mark.parametrize(
    ("query", "expires_at"),
    [
        ("X-Amz-Date=20261129T120000Z&X-Amz-Expires=900&X-Amz-Signature=ab", NOON + 900),
        ("x-amz-signature=ab&x-amz-expires=1&x-amz-date=20261129T120000Z", NOON + 1),
        ("X-Goog-Date=20261129T120000Z&X-Goog-Expires=900&X-Goog-Signature=ab", NOON + 900),
        ("AWSAccessKeyId=a&Expires=1795953600&Signature=a%2Bb", NOON),
        ("Expires=1795953600&Signature=a&Key-Pair-Id=k", NOON),
        ("sv=2024&se=2026-11-29T12%3A00%3A00Z&sig=ab", NOON),
        ("X-Amz-Expires=900&X-Amz-Signature=ab", None),
        ("X-Amz-Date=2026-11-29&X-Amz-Expires=900&X-Amz-Signature=ab", None),
        ("X-Amz-Date=20261129T120000Z&X-Amz-Expires=-1&X-Amz-Signature=ab", None),
        ("X-Amz-Date=20261129T120000Z&X-Amz-Expires=" + "9" * 400 + "&X-Amz-Signature=ab", None),
        ("Expires=soon&Signature=ab", None),
        ("Expires=%C2%B2&Signature=ab", None),
        ("se=2026-13-29T12:00:00Z&sig=ab", None),
        ("sig=ab", None),
        ("Expires=1795953600", None),
        ("", None),
    ],
)
def test_expiry(query: str, expires_at: float | None) -> None:
    assert expiry_of(f"https://h/a.png?{query}#Expires=1") == expires_at


def test_the_earliest_counts() -> None:
    texts = ["http://h/a", f"http://h/b?Expires={NOON:.0f}&Signature=a", "http://h/b?Expires=99999999999&Signature=a"]
    assert earliest_expiry(texts) == NOON
    assert earliest_expiry(texts[:1]) is None


NAMES = st.sampled_from(["X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature", "Expires", "Signature", "se", "sig"])


@given(st.lists(st.tuples(NAMES, st.text("0123456789TZ-:+%.\u0661e", max_size=24)), max_size=5))
def test_no_query_is_a_fault(pairs: list[tuple[str, str]]) -> None:
    expiry = expiry_of("https://h/a.png?" + "&".join(f"{name}={value}" for name, value in pairs))
    assert expiry is None or expiry >= 0
