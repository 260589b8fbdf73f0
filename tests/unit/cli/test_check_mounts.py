"""What ``imgserve check`` says of mounted dialects and their cache."""

import argparse
import shutil
from pathlib import Path

import pytest

from imgserve.cli.check import exposure, files, mounted
from imgserve.engine.cache.index import Index
from imgserve.engine.cache.notes import Row
from imgserve.settings.load import load
from imgserve.settings.tree import Settings

TWICE = 'sources = ["http://a.test/"]\nbase_url = "http://a.test/"\n'
OPEN = 'allow_unsigned = true\nsources = ["a.test", "b.test"]\n'
SIGNED = 'key_file = "key"\nsalt_file = "salt"\n'


def settings_of(tmp_path: Path, tables: str, **environ: str) -> Settings:
    (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
    for name in ("key", "salt"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("0a0b0c0d")
    file = tmp_path / "imgserve.toml"
    file.write_text(f'data_dir = "data"\ncache_bytes = 1_000_000\nsource_cache_bytes = 0\n{tables}')
    return load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent", **environ})


def said(settings: Settings, about: str) -> list[tuple[str, str]]:
    return [(one.state, one.detail) for one in mounted.look(settings) if one.about == about]


@pytest.mark.parametrize(
    ("table", "state", "words"),
    [
        (f'[get.imgproxy]\npath = "/i"\n{SIGNED}', "ok", "/i, signed, any source"),
        (f'[get.imgproxy]\npath = "/i"\n{SIGNED}sources = ["a.test"]', "ok", "/i, signed, 1 source"),
        (f'[get.thumbor]\npath = "/i"\n{OPEN}base_url = "http://c.test/"', "warning", "/i, not signed: anybody"),
        (f'[get.imgproxy]\npath = "/i"\n{SIGNED}{OPEN}', "warning", "pictures of 2 sources"),
        (f'[get.imgproxy]\npath = "/i"\n{SIGNED}{TWICE}', "ok", "/i, signed, 1 source"),
        (f'[get.iiif]\npath = "/i"\n{OPEN}', "warning", "/i, not signed"),
        (f'[get.iiif]\npath = "/i"\n{OPEN}max_area = 9', "ok", "not signed, as URLs of IIIF are not, 2 sources"),
    ],
)
def test_each_mount_has_a_row(tmp_path: Path, table: str, state: str, words: str) -> None:
    [(got, detail)] = said(settings_of(tmp_path, table), table.partition("]")[0][1:])
    assert got == state
    assert words in detail


def test_without_a_mount_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert list(mounted.look(settings_of(tmp_path, ""))) == []


@pytest.mark.parametrize(("path", "root", "count"), [("/", True, 2), ("/i", True, 1), ("/", False, 1)])
def test_the_root_on_a_server_that_writes_files(tmp_path: Path, path: str, root: bool, count: int) -> None:
    (tmp_path / "out").mkdir()
    above = 'write_root = ["out"]' if root else ""
    text = f'{above}\n[get.imgproxy]\npath = "{path}"\n{SIGNED}'
    rows = said(settings_of(tmp_path, text), "get.imgproxy")
    assert [state for state, _ in rows] == ["ok", "warning"][:count]


@pytest.mark.parametrize(("network", "states"), [("10.0.0.0/8", []), ("0.0.0.0/0", ["warning"]), ("::/0", ["warning"])])
def test_everybody_as_a_proxy(tmp_path: Path, network: str, states: list[str]) -> None:
    settings = settings_of(tmp_path, f'trusted_proxies = ["{network}"]\n[get.imgproxy]\npath = "/"\n{SIGNED}')
    assert [state for state, _ in said(settings, "trusted_proxies")] == states


def test_room_for_the_cache(tmp_path: Path) -> None:
    """What the cache holds already is room."""
    table = f'[get.imgproxy]\npath = "/"\n{SIGNED}'
    [(state, detail)] = said(settings_of(tmp_path, table), "cache_dir")
    assert (state, detail.endswith("MB of 1 MB")) == ("ok", True)
    free_bytes = shutil.disk_usage(tmp_path).free
    wanted = {"IMGSERVE_CACHE_BYTES": str(free_bytes + 10**12)}
    [(state, detail)] = said(settings_of(tmp_path, table, **wanted), "cache_dir")
    assert (state, "MB of" in detail) == ("warning", True)
    (tmp_path / "data/cache/pictures").mkdir(parents=True)
    index = Index(tmp_path / "data/cache/pictures")
    with index.transaction():
        index.put([Row(b"a", 2 * 10**12, 0)], [])
    [(state, _)] = said(settings_of(tmp_path, table, **wanted), "cache_dir")
    index.close()
    assert state == "ok"
    in_memory = said(settings_of(tmp_path, table, IMGSERVE_CACHE_BYTES="0"), "cache_dir")
    assert in_memory == [("ok", "pictures are kept in memory alone")]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = settings_of(tmp_path, f'cache_dir = "file/cache"\n[get.imgproxy]\npath = "/"\n{SIGNED}')
    [(state, detail)] = said(settings, "cache_dir")
    assert state == "warning"
    assert f"{tmp_path}/file/cache cannot be made by the user" in detail


@pytest.mark.parametrize(("mode", "states"), [(0o600, []), (0o644, ["fault"]), (0o660, ["fault"])])
def test_who_can_read_the_keys_of_a_mount(tmp_path: Path, mode: int, states: list[str]) -> None:
    settings = settings_of(tmp_path, f'[get.imgproxy]\npath = "/"\n{SIGNED}')
    (tmp_path / "salt").chmod(mode)
    assert [one.state for one in files.look(settings) if one.about == "get.imgproxy"] == states


def test_jobs_do_not_reach_the_cache(tmp_path: Path) -> None:
    (tmp_path / "kept/out").mkdir(parents=True)
    settings = settings_of(tmp_path, 'cache_dir = "kept"\nwrite_root = ["kept/out"]\n')
    [finding] = [one for one in files.look(settings) if one.about == "write_root"]
    assert (finding.state, "could overwrite" in finding.detail) == ("fault", True)


CREDENTIAL = '[credential.shop]\ntype = "bearer"\nsecret_file = "key"\nfor = ["https://a.test/"]\n'


@pytest.mark.parametrize(
    ("principals", "words"),
    [
        ("", None), ('principals = ["@get.imgproxy"]', None), ('principals = ["shop", "@get.imgproxy"]', None),
        ('principals = ["shop"]', "not for this mount"), ('principals = ["@get.iiif"]', "not for this mount"),
    ],
)  # fmt: skip
def test_a_mount_may_use_its_credential(tmp_path: Path, principals: str, words: str | None) -> None:
    text = f'[get.imgproxy]\npath = "/i"\n{SIGNED}credential = "shop"\n{CREDENTIAL}{principals}'
    warnings = [detail for state, detail in said(settings_of(tmp_path, text), "get.imgproxy") if state == "warning"]
    assert [words in detail for detail in warnings if words] == ([True] if words else [])
    assert bool(warnings) is bool(words)


def test_a_credential_of_webhooks_is_for_no_source(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("whsec_" + "A" * 32)
    webhook = CREDENTIAL.replace("bearer", "webhook").replace('"key"', '"hook"')
    text = f'[get.imgproxy]\npath = "/i"\n{SIGNED}credential = "shop"\n{webhook}'
    assert "is for no source" in said(settings_of(tmp_path, text), "get.imgproxy")[1][1]


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        ("@get.imgproxy", None), ("@operator", None), ("@get.iiif", "no dialect is mounted as @get.iiif"),
        ("@get.imgprxy", "no dialect is mounted as @get.imgprxy"), ("shpo", "no key has the name shpo"),
    ],
)  # fmt: skip
def test_principals_that_are_no_keys(tmp_path: Path, principal: str, words: str | None) -> None:
    text = f'[get.imgproxy]\npath = "/i"\n{SIGNED}{CREDENTIAL}principals = ["{principal}"]'
    found = [one.detail for one in exposure.look(settings_of(tmp_path, text)) if one.about == "credential.shop"]
    assert found == ([words] if words else [])


@pytest.mark.parametrize(
    ("host", "proxies", "states"),
    [
        ("127.0.0.1", "", ["warning"]), ("::1", "", ["warning"]), ("localhost", "", ["warning"]), ("10.1.2.3", "", []),
        ("127.0.0.1", 'trusted_proxies = ["127.0.0.1"]\n', []),
    ],
)  # fmt: skip
def test_a_listener_that_only_a_proxy_can_reach(tmp_path: Path, host: str, proxies: str, states: list[str]) -> None:
    settings = settings_of(tmp_path, f'host = "{host}"\n{proxies}[get.imgproxy]\npath = "/"\n{SIGNED}')
    assert [state for state, _ in said(settings, "trusted_proxies")] == states
