"""The judge itself: it accepts what may happen and names what may not."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.judge import Entry, judge
from tests.chaos.receiving import GREY, RED, UNSEEN, YELLOW, FileWatch, Write, shown, size_of


def entry(job: int, status: str, outbox: str = "none") -> Entry:
    return Entry(job + 1, job, status, "", 0, 0, "written", outbox, 0)


def sent(*steps: str) -> list[Write]:
    """``"0 final"`` is the final of job 0."""
    return [Write("p", int(job), kind) for job, kind in (step.split() for step in steps)]


def verdict(entries: list[Entry], writes: list[Write], *, is_form: bool = False) -> str:
    return "".join(judge("p", entries, writes, writes[-1] if writes else None, is_form=is_form))


DONE = [entry(0, "succeeded")]
FAILED = [entry(0, "failed", "done")]
POSTED_AGAIN = [*FAILED, FAILED[0]._replace(number=2)]
IN_BETWEEN = [*FAILED, entry(1, "succeeded"), FAILED[0]._replace(number=3)]
TWO = [entry(0, "superseded"), entry(1, "succeeded")]
BOTH = [entry(0, "succeeded"), entry(1, "succeeded")]


@pytest.mark.parametrize(
    ("entries", "writes", "is_form"),
    [
        (DONE, sent("0 placeholder", "0 final"), False),
        (DONE, sent("0 placeholder", "0 placeholder", "0 final", "0 final"), True),
        (FAILED, sent("0 placeholder", "0 failed"), False),
        (POSTED_AGAIN, sent("0 placeholder", "0 failed", "0 placeholder", "0 failed"), False),
        (IN_BETWEEN, sent("0 failed", "1 placeholder", "1 final", "0 placeholder", "0 failed"), False),
        (TWO, sent("0 placeholder", "1 placeholder", "0 final", "1 final"), False),
        (BOTH, sent("0 placeholder", "1 placeholder", "1 final", "0 final"), True),
        ([], [], False),
    ],
)
def test_accepts(entries: list[Entry], writes: list[Write], is_form: bool) -> None:
    assert verdict(entries, writes, is_form=is_form) == ""


@pytest.mark.parametrize(
    ("entries", "writes", "is_form", "sentence"),
    [
        ([entry(0, "running")], sent("0 placeholder"), False, "job 0 is still running"),
        ([entry(0, "failed", "pending")], sent("0 placeholder"), False, "still owes"),
        (DONE, sent("0 placeholder"), False, "its picture never came"),
        (FAILED, sent("0 placeholder"), False, "its failure picture never came"),
        (
            DONE,
            sent("0 placeholder", "0 final", "0 placeholder"),
            True,
            "the placeholder of job 0 came after the final",
        ),
        (
            FAILED,
            sent("0 placeholder", "0 failed", "0 placeholder", "0 failed"),
            False,
            "placeholder of job 0 came after",
        ),
        (DONE, sent("0 final", "0 failed"), False, "the failed of job 0 came after the final"),
        (TWO, sent("1 placeholder", "1 final", "0 final"), False, "the final of job 0 came after the final of job 1"),
        (TWO, sent("0 placeholder", "1 placeholder"), False, "expected the final of job 1 last"),
        ([entry(0, "superseded")], sent("0 placeholder"), False, "superseded by nobody"),
        (DONE, sent("0 placeholder", "7 final", "0 final"), False, "from no accepted job"),
        (DONE, [*sent("0 placeholder", "0 final"), Write("p", -1, "half")], True, "from no accepted job"),
    ],
)
def test_names(entries: list[Entry], writes: list[Write], is_form: bool, sentence: str) -> None:
    assert sentence in verdict(entries, writes, is_form=is_form)


def test_a_write_that_nobody_saw_may_have_been_the_one_that_is_missed() -> None:
    seen = sent("0 placeholder", "1 placeholder", "1 final")
    assert "job 0 succeeded, its picture never came" in verdict(BOTH, seen)
    assert judge("p", BOTH, [seen[0], Write("p", -1, UNSEEN), *seen[1:]], seen[-1], is_form=False) == []


def test_a_file_that_was_written_over_before_it_was_looked_at(tmp_path: Path) -> None:
    watch = FileWatch(tmp_path)
    watch.add(tmp_path)
    for text in ("one", "two"):
        (tmp_path / ".imgserve-new").write_text(text)
        (tmp_path / ".imgserve-new").rename(tmp_path / "out.png")
    with watch:
        assert [write.kind for write in watch.writes()] == [UNSEEN, "3 bytes that are no whole picture"]


def test_names_what_lies_there_in_the_end() -> None:
    told = judge("p", DONE, sent("0 placeholder", "0 final"), Write("p", 0, "placeholder"), is_form=False)
    assert "there lies Write(place='p', job=0, kind='placeholder')" in told[0]


@pytest.mark.parametrize(("color", "kind"), [(RED, "final"), (YELLOW, "placeholder"), (GREY, "failed")])
@pytest.mark.parametrize("job", [0, 31, 32, 499])
def test_pictures_are_told_apart(color: tuple[int, int, int], kind: str, job: int) -> None:
    out = io.BytesIO()
    Image.new("RGB", size_of(job), color).save(out, "PNG")
    assert shown("p", out.getvalue()) == Write("p", job, kind)
    half = shown("p", out.getvalue()[:-20])
    assert half.job == -1
    assert "no whole picture" in half.kind
