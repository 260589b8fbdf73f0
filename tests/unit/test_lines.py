"""The count of ``bench.lines``, against sources counted by hand."""

from pathlib import Path

import pytest
from bench.lines import Lines, of_python, of_sql, packages


@pytest.mark.parametrize(
    ("source", "code", "comments"),
    [
        ("", 0, 0),
        ("\n\n# one\n\n# two\n", 0, 2),
        ("a = 1  # why\n", 1, 1),
        ("import pycurl  # noqa: F401\n", 1, 0),
        ('"""About\n\nthe module."""\n\na = 1\n', 1, 0),
        ('class A:\n    """About A."""\n\n    b: int\n    """About b."""\n', 2, 0),
        ('def f() -> str:\n    """About f,\n    at length."""\n    return "x"\n', 2, 0),
        ('text = """one\n\n# three"""\n', 2, 0),
        ("a = [\n    1,\n\n    # why two\n    2,\n]\n", 4, 1),
        ('f(\n    f"{a}"\n    "b"\n)\n', 4, 0),
    ],
)
def test_what_counts_in_python(source: str, code: int, comments: int) -> None:
    assert of_python(source) == Lines(code, comments)


def test_what_counts_in_sql() -> None:
    assert of_sql("-- name: claim\nSELECT id  -- one\n\nFROM job\n") == Lines(2, 2)


def test_packages_are_the_first_folders(tmp_path: Path) -> None:
    root = tmp_path / "src/imgserve"
    for name, text in {"blob.py": "a = 1\n", "jobs/__init__.py": "", "jobs/sqlite/q.sql": "SELECT 1\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "jobs/sqlite/read.py").write_text("a = 1\nb = 2\n")
    assert packages(tmp_path) == {"(modules)": Lines(1), "jobs": Lines(3)}
