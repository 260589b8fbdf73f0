"""What a file of API keys may say, and how a mistake in it is told: by line, never by key."""

from pathlib import Path

import pytest

from imgserve.api.keyfile import KeyFileInvalid, read_keys

ONE, TWO = "the-first-key-of-all-1", "another-key-of-length-2"


def written(tmp_path: Path, *lines: str) -> str:
    (tmp_path / "keys").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "keys")


@pytest.mark.parametrize(
    ("lines", "numbers"),
    [
        ((f"shop:{ONE}", f"blog:{ONE}"), "1 and 2"),
        ((f"shop:{ONE}", f"shop:{TWO}", "", f"blog  {ONE}"), "1 and 4"),
        ((f"shop:{ONE}", ONE), "1 and 2"),
        (("# ours", ONE, f"shop {ONE}"), "2 and 3"),
        ((f"shop:{TWO}", f"blog:{ONE}", f"shop:{ONE}"), "2 and 3"),
        ((f"a:{ONE}", f"b:{ONE}", f"c:{ONE}"), "1 and 2"),
        ((f"bob:ann:{ONE}", f"ann:{ONE}"), "1 and 2"),
    ],
)
def test_a_key_of_two_principals_is_refused(tmp_path: Path, lines: tuple[str, ...], numbers: str) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(KeyFileInvalid) as caught:
        read_keys(path)
    sentence = caught.value.sentence()
    assert f"lines {numbers} of {path} hold the same key" in sentence
    assert "give each principal a key of its own" in sentence
    assert ONE not in sentence
    assert TWO not in sentence


@pytest.mark.parametrize(
    ("lines", "principals"),
    [
        ((f"shop:{ONE}", f"shop:{TWO}"), 1),
        ((f"shop:{ONE}", f"shop {ONE}"), 1),
        ((ONE, ONE), 1),
        ((ONE, TWO), 2),
        ((f"shop:{ONE}", f"blog:{ONE.upper()}"), 2),
    ],
)
def test_the_keys_of_one_principal_may_be_several(tmp_path: Path, lines: tuple[str, ...], principals: int) -> None:
    assert len({key.principal for key in read_keys(written(tmp_path, *lines))}) == principals


def test_names_that_differ_by_case_only_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"Shop:{ONE}", "", f"shop:{TWO}")
    with pytest.raises(KeyFileInvalid) as caught:
        read_keys(path)
    sentence = caught.value.sentence()
    assert f'lines 1 and 3 of {path} name "Shop" and "shop"' in sentence
    assert "spell them alike" in sentence
    assert ONE not in sentence


@pytest.mark.parametrize("line", ["the-shop-in-the-street:", "shop:", "the-shop-in-the-street: # later"])
def test_a_name_without_a_key_is_refused(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, TWO, line)
    with pytest.raises(KeyFileInvalid) as caught:
        read_keys(path)
    assert f"line 2 of {path}" in caught.value.sentence()
