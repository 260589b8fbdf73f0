"""A long body is parsed beside the event loop, a short one in it."""

import json
import threading
import time

import pytest

from imgserve.api.parsing import AT_ONCE_BYTES, parsed
from imgserve.request.faults import RequestInvalid
from imgserve.request.guesses import MOST_GUESSES
from imgserve.request.json_text import read_object
from imgserve.request.picture import PictureRequest, parse_render

REGION = {"left": 1, "top": "10%", "width": "12.5%", "height": 5}
REDACT = {"operation": "redact", "regions": [REGION] * 100}
LARGEST = json.dumps({"source": "http://h/a.png", "operations": [REDACT] * 32}).encode()


def read(text: bytes) -> PictureRequest:
    return parse_render(read_object(text))


async def test_a_long_text_costs_the_loop_no_time() -> None:
    began_s = time.thread_time()
    expected = read(LARGEST)
    twin_s = time.thread_time() - began_s
    began_s = time.thread_time()
    assert await parsed(LARGEST, read) == expected
    assert time.thread_time() - began_s < twin_s / 4


async def test_the_thread_of_a_text_depends_on_its_length() -> None:
    def thread(_text: bytes) -> int:
        return threading.get_ident()

    own = threading.get_ident()
    assert await parsed(bytes(AT_ONCE_BYTES), thread) == own
    others = {await parsed(bytes(AT_ONCE_BYTES + 1), thread) for _ in range(3)}
    assert own not in others
    assert len(others) == 1


@pytest.mark.parametrize("length", [AT_ONCE_BYTES, AT_ONCE_BYTES + 1])
async def test_few_of_many_misspelt_words_are_guessed(length: int) -> None:
    request = {"source": "http://h/a", "operations": [{"operation": "resize", "widht": 1}] * 30}
    text = json.dumps(request).encode().ljust(length)
    for _ in range(2):
        with pytest.raises(RequestInvalid) as caught:
            await parsed(text, read)
        assert len(caught.value.faults) == 30
        assert caught.value.detail.count('unknown, did you mean "width"?') == MOST_GUESSES
