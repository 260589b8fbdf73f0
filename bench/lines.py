"""Counts the lines of code of ``src/imgserve``, of each package and in all; README.md beside this says what counts.

    python -m bench.lines [OLD]

OLD is the directory of another checkout: then its figures are printed too, with the difference. Without a module of
ours, so that it counts any checkout.
"""

import argparse
import ast
import io
import tokenize
from pathlib import Path
from typing import NamedTuple

_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
# Orders to ruff and mypy say nothing to a reader.
_ORDERS = ("# noqa", "# type:", "# fmt:", "# mypy:", "# ruff:")


class Lines(NamedTuple):
    """A line with code and a comment counts in both."""

    code: int = 0
    comments: int = 0

    def plus(self, other: "Lines") -> "Lines":
        return Lines(self.code + other.code, self.comments + other.comments)


def of_python(source: str) -> Lines:
    docstrings = {
        (node.value.lineno, node.value.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    code: set[int] = set()
    comments: set[int] = set()
    blank = {number for number, line in enumerate(source.split("\n"), 1) if not line.strip()}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if not token.string.startswith(_ORDERS):
                comments.add(token.start[0])
        elif token.type not in _LAYOUT and token.start not in docstrings:
            code.update(range(token.start[0], token.end[0] + 1))
    return Lines(len(code - blank), len(comments))


def of_sql(source: str) -> Lines:
    lines = [line.strip() for line in source.splitlines()]
    return Lines(sum(bool(line) and not line.startswith("--") for line in lines), sum("--" in line for line in lines))


def packages(checkout: Path) -> dict[str, Lines]:
    """By the first folder below ``src/imgserve``; the modules beside the folders are ``(modules)``."""
    root = checkout / "src/imgserve"
    found: dict[str, Lines] = {}
    for kind, count in {"*.py": of_python, "*.sql": of_sql}.items():
        for file in root.rglob(kind):
            inner = file.relative_to(root).parts
            package = inner[0] if len(inner) > 1 else "(modules)"
            found[package] = found.get(package, Lines()).plus(count(file.read_text("utf-8")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lines", description="Count lines of code.")
    parser.add_argument("old", nargs="?", type=Path, help="the directory of another checkout")
    given = parser.parse_args()
    new, old = packages(Path.cwd()), packages(given.old) if given.old else {}
    print(f"{'package':<12}{'code':>8}{'comments/100':>14}{'before':>8}{'change':>8}")
    for package in sorted(new.keys() | old.keys()):
        print(_row(package, new.get(package, Lines()), old.get(package)))
    print(_row("in all", _total(new), _total(old) if old else None))


def _row(name: str, new: Lines, old: Lines | None) -> str:
    before = f"{old.code:>8}{new.code - old.code:>+8}" if old else ""
    return f"{name:<12}{new.code:>8}{100 * new.comments / (new.code or 1):>14.1f}{before}"


def _total(side: dict[str, Lines]) -> Lines:
    return Lines(*map(sum, zip(*side.values(), strict=True)))


if __name__ == "__main__":
    main()
