"""URLs that are judged once: kept from their second request on, and never too many."""

from imgserve.api.judged import Judged
from imgserve.request.dialects.dialect import Negotiable

PLAIN, OF_WEBP = Negotiable(), Negotiable(formats=frozenset({"webp"}))


def test_a_url_is_kept_from_its_second_request_on() -> None:
    judged: Judged[str] = Judged(10)
    judged.add(("/a", PLAIN), "a")
    assert judged.get(("/a", PLAIN)) is None
    judged.add(("/a", PLAIN), "a")
    assert judged.get(("/a", PLAIN)) == "a"
    assert judged.get(("/a", OF_WEBP)) is None


def test_urls_that_are_asked_for_once_take_no_place() -> None:
    judged: Judged[int] = Judged(10)
    for number in range(50_000):
        judged.add((f"/{number}", PLAIN), number)
    assert len(judged) == 0


def test_the_one_that_was_kept_first_goes() -> None:
    judged: Judged[int] = Judged(3)
    for number in (0, 1, 2, 3):
        judged.add((f"/{number}", PLAIN), number)
        judged.add((f"/{number}", PLAIN), number)
    assert [judged.get((f"/{number}", PLAIN)) for number in range(4)] == [None, 1, 2, 3]


def test_a_long_path_is_judged_each_time() -> None:
    judged: Judged[str] = Judged(10)
    for _ in range(3):
        judged.add(("/" + "a" * 1000, PLAIN), "a")
    assert len(judged) == 0
