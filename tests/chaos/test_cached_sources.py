"""Which pictures of a changing source a GET may show: the judge of ``test_cache``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.cached_sources import ABSENT, Source

ONE, OTHER = "/one", "/other"


def source_in(directory: Path, *, is_asked: bool = False) -> Source:
    return Source("a.png", "http://a.test/a.png", directory / "a.png", (b"0", b"1", b"2"), is_asked=is_asked)


@contextmanager
def shows(source: Source, *contents: int, target: str = ONE) -> Iterator[None]:
    """What a request may show that is under way during the block."""
    with source.asking(target) as asking:
        yield
        assert source.seen_by(asking) == set(contents)


def test_an_older_picture_until_it_is_purged(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    with shows(source, 0):
        pass
    with shows(source, 0, 1):
        source.write(1)
    with shows(source, 0, 1):
        source.purged(source.written)
    with shows(source, 1):
        pass


def test_a_purge_of_one_url_is_none_of_another(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    source.write(1)
    source.purged(source.written, ONE)
    with shows(source, 1), shows(source, 0, 1, target=OTHER):
        pass


def test_a_purge_counts_for_what_was_written_when_it_began(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    version = source.written
    source.write(1)
    source.purged(version)
    with shows(source, 0, 1):
        pass


def test_a_picture_that_a_job_may_be_writing(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    source.begin(2)
    source.purged(source.written)
    with shows(source, 0, 2):
        source.wrote()
        source.purged(source.written)
    with shows(source, 2, ABSENT):
        source.write(ABSENT)
        assert not source.path.exists()
        source.write(2)
        source.purged(source.written)
    assert source.path.read_bytes() == b"2"


def test_where_sources_are_asked_work_that_is_shared_may_be_older(tmp_path: Path) -> None:
    source = source_in(tmp_path, is_asked=True)
    with shows(source, 0, 1):
        source.write(1)
        with shows(source, 0, 1, target=OTHER):
            pass
    with shows(source, 1):
        pass
