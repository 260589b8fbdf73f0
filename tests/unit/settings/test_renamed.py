"""An earlier name of a setting counts until 1.0 as the new one does. The tests add names of their own to the table."""

import argparse
import re
from pathlib import Path

import pytest
from docs.generate import described

from imgserve.cli.check import report
from imgserve.server import lifecycle
from imgserve.settings import renamed
from imgserve.settings.load import SettingsInvalid, add_flags, load, locate
from imgserve.settings.options import BY_NAME
from imgserve.settings.tree import Settings

DOCS = Path(__file__).resolve().parents[3] / "docs"
OLD = {"listen_port": "port", "data_directory": "data_dir", "open_network": "allow_network"}


@pytest.fixture(autouse=True)
def _renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    for old, new in OLD.items():
        monkeypatch.setitem(renamed.SETTINGS, old, new)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return parser.parse_args(words)


def loaded(*words: str, **environ: str) -> Settings:
    return load(parsed(*words), {"HOME": "/nonexistent", **environ})


def test_an_old_name_is_taken_in_file_variable_and_flag(tmp_path: Path) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text("listen_port = 7")
    for settings in (
        loaded("--config", str(file)), loaded(IMGSERVE_LISTEN_PORT="7"), loaded("--listen-port", "7")
    ):  # fmt: skip
        assert (settings.api.port, settings.renamed) == (7, (("listen_port", "port"),))
    by_list = loaded(IMGSERVE_OPEN_NETWORK="10.0.0.0/8, 10.0.0.0/9")
    assert by_list.transfer.allow_networks == ("10.0.0.0/8", "10.0.0.0/9")
    assert loaded("--port", "7").renamed == ()


def test_a_server_is_found_by_an_old_name() -> None:
    environ = {"HOME": "/nonexistent", "IMGSERVE_DATA_DIRECTORY": "/srv/old"}
    assert locate(argparse.Namespace(), environ).data_dir == Path("/srv/old")


def test_both_names_are_a_fault() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        loaded("--listen-port", "7", IMGSERVE_PORT="8")
    assert str(caught.value) == "--listen-port: expected only one of it and port, both are given"


def test_the_log_and_check_name_the_new_one(caplog: pytest.LogCaptureFixture) -> None:
    settings = loaded("--listen-port", "7")
    lifecycle._begin(settings)
    [line] = caplog.messages
    assert line.startswith("setting_renamed")
    assert {"old": "listen_port", "new": "port"}.items() <= vars(caplog.records[0])["fields"].items()
    [_, found] = report.of_settings(settings, "")
    assert (found.state, found.detail) == ("warning", "listen_port is called port now")


def test_only_the_new_name_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    told = capsys.readouterr().out
    assert "--port" in told
    assert "listen" not in told.replace("address to listen on", "")


def test_old_names_are_gone_and_new_ones_there() -> None:
    names = {row.name for row in described()}
    for row in renamed.IN_0_6_0:
        if row.kind == "setting":
            assert row.new in BY_NAME
            assert row.old not in BY_NAME
        elif row.kind == "metric" and row.old.startswith("imgserve_"):
            assert row.new in names
            assert row.old not in names


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_no_page_tells_of_an_old_setting_or_metric(page: Path) -> None:
    gone = [row.old for row in renamed.IN_0_6_0 if row.kind == "setting" or row.old.startswith("imgserve_")]
    text = "" if page.name in ("upgrading.md", "decisions.md") else page.read_text()
    assert [name for name in gone if re.search(rf"\b{name}\b", text)] == []
