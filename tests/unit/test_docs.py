"""The pages say what the code does: links lead somewhere, examples parse, tables and lists are complete."""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from docs.generate import described

from imgserve import errors
from imgserve.cli.main import whole
from imgserve.jobs.model import JobStatus, OutputStatus
from imgserve.request import native
from imgserve.request.classic import parse as classic
from imgserve.request.classic.codes import MEANING
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import SourceFormat
from imgserve.transfer.client.call import Method
from tests.support.pages import jobs_in

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"),
                 *(ROOT / "bench").rglob("*.md")]
)  # fmt: skip
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:\w[\w.-]*/)+[\w.*-]*)`")
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_paths_on_the_page_exist(page: Path) -> None:
    for name in PATH.findall(page.read_text()):
        bases = (ROOT, ROOT / "src/imgserve", page.parent)
        assert any(next(base.glob(name), None) for base in bases), f"{name} does not exist"


def test_generated_tables_are_up_to_date() -> None:
    run = subprocess.run([sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_tree_of_errors_names_each_class_at_its_file() -> None:
    package = ROOT / "src/imgserve"
    classes = {
        found[1]: (found[2], str(path.relative_to(package)))
        for path in package.rglob("*.py")
        for found in re.finditer(r"^class (\w+)\((\w+)[,)]", path.read_text(), re.MULTILINE)
    }

    def is_error(name: str) -> bool:
        return name == "ImgserveError" or (name in classes and is_error(classes[name][0]))

    rows = re.sub(r"\n    │ +", " ", str(errors.__doc__)).splitlines()
    places = {name: row.split()[1] for row in rows if "─ " in row for name in re.findall(r"\b[A-Z]\w+", row)}
    assert places.keys() == {name for name in classes if is_error(name)} - {"ImgserveError"}
    assert [name for name, place in places.items() if not classes[name][1].startswith(place)] == []


def test_each_metric_is_described_once() -> None:
    names = [metric.name for metric in described()]
    assert len(names) == len(set(names)) > 20


def test_reference_names_every_code() -> None:
    table = (ROOT / "docs/reference/classic.md").read_text().partition("## Codes")[2]
    assert [int(code) for code in re.findall(r"^\| (\d{3}) \|", table, re.MULTILINE)] == sorted(MEANING)


def test_the_page_of_problems_has_the_codes_of_ends_that_no_class_has() -> None:
    page = (ROOT / "docs/reference/problems.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "src/imgserve/jobs").rglob("*.py"))
    codes = set(re.findall(r'(?:Fail|Reason)\("(\w+)"', source))
    assert {"deadline", "poison", "cancelled"} <= codes
    assert [code for code in sorted(codes) if f"| `{code}` |" not in page] == []


def test_trouble_has_a_cause_and_a_cure_for_every_code() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("### By code")[2].partition("###")[0]
    rows = re.findall(r"^\| (\d{3}) \| (.+) \| (.+) \|$", table, re.MULTILINE)
    assert [int(code) for code, _, _ in rows] == sorted(MEANING)


@pytest.mark.parametrize(("page", "count"), [("README.md", 3), ("docs/reference/classic.md", 4)])
def test_jobs_on_the_page_are_valid(page: str, count: int) -> None:
    jobs = jobs_in((ROOT / page).read_text())
    assert len(jobs) == count
    for job in jobs:
        classic.parse(job.encode())


def test_what_becomes_of_calls_of_sharp_is_valid() -> None:
    page = (ROOT / "docs/howto/move-from-sharp.md").read_text()
    operations = [f'{{"operations": [{text}]}}' for text in re.findall(r'`(\{"operation": .+?\})`', page)]
    others = [f"{{{text}}}" for text in re.findall(r'`("(?:load|encode)": .+?\})`', page)]
    shown = re.findall(r"^```json\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert (len(operations), len(others), len(shown)) == (23, 4, 1)
    for text in (*operations, *others, *shown):
        native.parse_recipe(json.loads(text))


def test_jobs_on_the_page_are_really_parsed() -> None:
    [job] = jobs_in((ROOT / "README.md").read_text().replace('"width": 320', '"widht": 320'))[:1]
    assert "widht" in json.loads(job)["args"]
    with pytest.raises(RequestInvalid):
        classic.parse(job.encode())


def test_make_commands_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in re.findall(r"^make ([a-z -]+)|`make ([a-z -]+)`", page.read_text(), re.MULTILINE):
            named = "".join(line).split("  ")[0].split()
            assert set(named) <= targets, f"{page.name}: make {named}"


def each_parser(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from each_parser(inner)


def test_flags_on_the_pages_exist_and_all_are_named() -> None:
    help_text = "".join(parser.format_help() for parser in each_parser(whole()))
    exist = set(re.findall(r"--[a-z][a-z-]+", help_text)) - {"--help"}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    programs = "curl|pip|systemctl|journalctl|docker|apt-get|kubectl|helm|pg_dump|mkdir"  # they have flags of their own
    texts = [re.sub(rf"\b(?:{programs}) [^\n`]*", "", page.read_text()) for page in pages]
    named = {flag for text in texts for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    assert named == exist


def test_glossary_has_every_status() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    for status in (*get_args(JobStatus), *get_args(OutputStatus)):
        assert f"`{status}`" in text, status


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and keeps it."""
    if any(isinstance(node, ast.Raise) and node.exc is None for node in handler.body):
        return False
    names = {node.id for node in ast.walk(handler.type or ast.Name("Exception")) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def test_broad_excepts_are_those_of_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    listed = text[text.index("A broad `except`") : text.index("* At shutdown")]
    src = ROOT / "src/imgserve"
    found = [
        str(path.relative_to(src))
        for path in src.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    assert sorted(found) == sorted(re.findall(r"`([\w/]+\.py)`", listed))


def test_every_module_has_its_line_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for path in (ROOT / "src/imgserve").iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            assert f"`{path.stem}`" in text, path.name
        elif (path / "__init__.py").exists():
            assert f"`{path.name}/`" in text, path.name


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs/decisions.md").read_text()
    run = [re.match(r"[\w\-]+", line) for line in project["dependencies"]]
    lists = [(ROOT / "requirements" / name).read_text() for name in ("test.in", "conformance.in", "bench.in")]
    test = [re.match(r"[\w\-]+", line) for text_ in lists for line in text_.splitlines()]
    for match in run + test:
        if match is not None and not match[0].startswith("-"):
            assert f"`{match[0]}" in text, match[0]


@pytest.mark.parametrize("name", ["build", "run", "demo", "test", "conformance", "bench"])
def test_requirements_are_pinned_by_hash(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    assert "://" not in text
    pinned = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert pinned
    for requirement in pinned:
        assert re.match(r"[a-z0-9\-]+==[\w.]+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("directory", ["npm", "npm-bench"])
def test_packages_of_node_are_pinned_by_digest(directory: str) -> None:
    packages = json.loads((ROOT / "requirements" / directory / "package-lock.json").read_text())["packages"]
    asked = packages.pop("")["dependencies"]
    text = (ROOT / "docs/decisions.md").read_text()
    assert asked
    for name, version in asked.items():
        assert f"`{name}`" in text, name
        assert packages[f"node_modules/{name}"]["version"] == version
    for path, package in packages.items():
        if not package.get("inBundle"):  # it is part of another package, and of its digest
            assert package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path


def test_run_dependencies_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[<>=; ]", line)[0] for line in project["dependencies"]}
    listed = (ROOT / "requirements/run.in").read_text().splitlines()
    assert named == {re.split(r"[<>=; ]", line)[0] for line in listed}


def test_init_files_are_empty() -> None:
    """But for that of the client, whose names other programs import."""
    written = [path for path in (ROOT / "src").rglob("__init__.py") if path.read_text().strip()]
    assert written == [ROOT / "src/imgserve/client/__init__.py"]


def test_modules_say_what_they_are_for() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_licences_are_there() -> None:
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert "SIL OPEN FONT LICENSE Version 1.1" in (ROOT / "src/imgserve/fonts/OFL.txt").read_text()


def test_a_stale_table_is_noticed(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs)
    page = docs / "security.md"
    page.write_text(page.read_text().replace("| frames of a source | 256 |", "| frames of a source | 255 |"))
    check = [sys.executable, str(docs / "generate.py"), "--check"]
    run = subprocess.run(check, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "docs/security.md is out of date: run make docs\n")
    subprocess.run([sys.executable, docs / "generate.py"], capture_output=True, check=True)
    assert page.read_text() == (ROOT / "docs/security.md").read_text()


def test_the_page_on_security_names_every_request_that_a_job_can_cause() -> None:
    page = (ROOT / "docs/security.md").read_text()
    section = page[page.index("Open with `--allow-network`") :]
    for method in set(get_args(Method)) - {"COMMANDS"}:
        assert re.search(rf"\b{method}\b", section), method


def test_each_format_that_is_read_has_its_row() -> None:
    page = (ROOT / "docs/reference/load.md").read_text()
    _, _, table = page.partition("## Formats")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(get_args(SourceFormat))
