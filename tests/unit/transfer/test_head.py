"""The head of an answer, line by line, as libcurl hands it on."""

import pytest

from imgserve.transfer.client.head import Head


@pytest.mark.parametrize(
    ("lines", "cache_control"),
    [
        ((), ""),
        (("public",), "public"),
        (("max-age=60", "private"), "max-age=60, private"),
        (("", "private", ""), "private"),
        (("private", "x" * 300), "private"),
        (("x" * 300, "private"), "private"),
    ],
)
def test_several_fields_of_cache_control_are_one_list(lines: tuple[str, ...], cache_control: str) -> None:
    head = Head()
    head.add(b"HTTP/1.1 200 OK\r\n")
    for line in lines:
        head.add(f"Cache-Control: {line}\r\n".encode())
    head.add(b"\r\n")
    assert head.read().version.cache_control == cache_control
