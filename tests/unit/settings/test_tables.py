"""Settings in tables of the TOML file, declared by Configs of this test."""

import argparse
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from docs.generate import settings_of

from imgserve.setting import Count, Problem, Secret, Section, Setting, Text, Texts
from imgserve.settings.load import SettingsInvalid, settle
from imgserve.settings.options import declared
from imgserve.settings.read import gather


class Imgproxy(msgspec.Struct, frozen=True):
    path: Annotated[Text, Setting("where it is mounted")]
    sources: Annotated[Texts, Setting("allowed sources")] = ()
    key: Annotated[Secret | None, Setting("the signing key")] = None

    def problems(self) -> tuple[Problem, ...]:
        return () if self.path.startswith("/") else (Problem("path", f"expected a path from /, got {self.path!r}"),)


class Get(msgspec.Struct, frozen=True):
    imgproxy: Annotated[Imgproxy | None, Section("GET", table="imgproxy")] = None
    ttl_s: Annotated[Count, Setting("how long a picture is fresh", "seconds", metavar="N")] = 60


class Credential(msgspec.Struct, frozen=True):
    token: Annotated[Secret, Setting("what is shown")]
    urls: Annotated[Texts, Setting("where it goes", name="for")] = ()
    certificate: Annotated[Text, Setting("a file", metavar="FILE")] = ""

    def problems(self) -> tuple[Problem, ...]:
        return tuple(Problem("urls", f"expected URLs, got {url!r}") for url in self.urls if "://" not in url)


class Root(msgspec.Struct, frozen=True):
    port: Annotated[Count, Setting("port", metavar="N")] = 1
    get: Annotated[Get, Section("GET", table="get")] = Get()
    credentials: Annotated[dict[str, Credential], Section("Credentials", table="credential")] = {}


DECLARED = declared(Root)
WHOLE = """
port = 7
[get]
ttl_s = 5
[get.imgproxy]
path = "/pictures"
sources = ["https://a.test/",
  "https://b.test/"]
[credential.shop]
token_env = "SHOP_TOKEN"
for = ["https://shop.test/"]
[credential.archive-2]
token_file = "archive.token"
certificate = "pems/archive.pem"
"""


def settled(tmp_path: Path, text: str, **environ: str) -> Root:
    """Raises SettingsInvalid with all faults."""
    path = tmp_path / "imgserve.toml"
    path.write_text(text)
    (tmp_path / "archive.token").write_text("s3cret-of-the-archive\n")
    problems: list[str] = []
    gathered = gather(Root, argparse.Namespace(), environ, path, problems)
    return settle(Root, gathered, {}, problems)


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        settled(tmp_path, text, **environ)
    return [fault.removeprefix(f"{tmp_path}/imgserve.toml, ") for fault in str(caught.value).split("; ")]


def test_tables_arrive_in_their_configs(tmp_path: Path) -> None:
    root = settled(tmp_path, WHOLE, SHOP_TOKEN="s3cret-of-the-shop")
    assert root == Root(
        port=7,
        get=Get(Imgproxy("/pictures", ("https://a.test/", "https://b.test/")), ttl_s=5),
        credentials={
            "shop": Credential(Secret("s3cret-of-the-shop"), ("https://shop.test/",)),
            "archive-2": Credential(
                Secret("s3cret-of-the-archive", str(tmp_path / "archive.token")), (), str(tmp_path / "pems/archive.pem")
            ),
        },
    )
    assert "s3cret" not in repr(root)


def test_without_its_table_nothing_is_mounted(tmp_path: Path) -> None:
    assert settled(tmp_path, "port = 1") == Root()


def test_a_fixed_table_has_variables_and_a_named_one_has_none(tmp_path: Path) -> None:
    root = settled(tmp_path, WHOLE, SHOP_TOKEN="t", IMGSERVE_GET_IMGPROXY_PATH="/other", IMGSERVE_GET_TTL_S="9")
    assert root.get == Get(Imgproxy("/other", ("https://a.test/", "https://b.test/")), ttl_s=9)
    assert settled(tmp_path, "", IMGSERVE_GET_IMGPROXY_PATH="/alone").get.imgproxy == Imgproxy("/alone")
    (fault,) = faults(tmp_path, WHOLE, SHOP_TOKEN="t", IMGSERVE_CREDENTIAL_SHOP_FOR="https://evil.test/")
    assert fault.startswith("IMGSERVE_CREDENTIAL_SHOP_FOR: there is no such setting")
    (fault,) = faults(tmp_path, "", IMGSERVE_GET_IMGPROXY_SOURCES="https://a.test/")
    assert fault == "[get.imgproxy]: expected path in it: where it is mounted"
    (key,) = [option for option in DECLARED.options if option.name == "get.imgproxy.key_file"]
    assert (key.variable, key.flags) == ("IMGSERVE_GET_IMGPROXY_KEY_FILE", ())


def test_only_settings_above_all_tables_are_flags() -> None:
    assert {option.name: option.flags for option in DECLARED.options if option.flags} == {"port": ("--port",)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('port = 1\n[get]\nttl_s = "5"\n',
         ['line 3: [get] ttl_s: expected a whole number from 1, got the text "5" '
          "(write ttl_s = 5)"]),
        ("\n# a comment\n[get.imgproxy]\n",
         ["line 3: [get.imgproxy]: expected path in it: where it is mounted"]),
        ('[get.imgproxy]\nsources = [\n  "a",\n]\n\npath = "x"\n',
         ["line 6: [get.imgproxy] path: expected a path from /, got 'x'"]),
        ("[get.imgproxy]\npath = 3\n", ["line 2: [get.imgproxy] path: expected a text, got 3 (write path = \"3\")"]),
        ('[get.imgproxy]\npath = "/"\npaht = "/"\n',
         ["line 3: [get.imgproxy] paht: there is no such setting (did you mean path?)"]),
        ("[get]\nimgproxy = 3\n", ["line 2: [get] imgproxy: expected a table, [get.imgproxy], got 3"]),
        ('[get]\n"imgproxy.path" = "/"\n', ["line 1: get: there is no such setting 'imgproxy.path'"]),
        ("[credential]\nshop = 3\n", ["line 2: [credential] shop: expected a table, [credential.shop], got 3"]),
        ('[credential."a b"]\ntoken_env = "HOME"\n',
         ["line 1: credential: expected a name of at most 32 letters, digits, - and _, got 'a b'"]),
        ('[credential.a]\nfor = ["x://y"]\n',
         ["line 1: [credential.a]: expected token_file or token_env in it: what is shown"]),
        ('[credential.a]\ntoken = "s3cret"\n',
         ["line 2: [credential.a] token: there is no such setting (did you mean token_env?)",
          "line 1: [credential.a]: expected token_file or token_env in it: what is shown"]),
        ('[credential.a]\ntoken_env = "A"\ntoken_file = "archive.token"\n',
         ["line 2: [credential.a] token_env: expected only one of it and [credential.a] token_file, both are given"]),
        ('[credential.a]\ntoken_env = "B"\n',
         ["line 2: [credential.a] token_env: expected a secret in B, there is none"]),
        ('[credential.a]\ntoken_env = "A"\n[credential.b]\ntoken_env = "A"\nfor = ["shop.test"]\n',
         ["line 5: [credential.b] for: expected URLs, got 'shop.test'"]),
        ("[limits]\nport = 3\n",
         ["line 1: limits: there is no such table (settings stand above all tables)"]),
        ('[get.imgprox]\npath = "/"\n',
         ["line 1: [get.imgprox]: there is no such table (did you mean [get.imgproxy]?)"]),
        ('[imgproxy]\npath = "/"\n', ["line 1: imgproxy: there is no such table (did you mean [get.imgproxy]?)"]),
        ('[credentials.a]\ntoken_env = "A"\n',
         ["line 1: credentials: there is no such table (did you mean [credential.NAME]?)"]),
    ],
)  # fmt: skip
def test_a_fault_names_line_table_and_key(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text, A="a-token") == expected


def test_a_secret_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, '[credential.a]\ntoken_file = "gone"\n')
    assert fault == (
        f"line 2: [credential.a] token_file: {tmp_path}/gone cannot be read: No such file or directory (check the path)"
    )


def test_tables_have_their_lines_in_the_reference() -> None:
    page = list(settings_of(Root))
    assert "| `[get] ttl_s` | how long a picture is fresh | a whole number from 1, seconds | 60 |" in page
    assert "| `[get.imgproxy] path` | where it is mounted | a text | must be given |" in page
    assert "| `[credential.NAME] token_file` | what is shown | a text | must be given |" in page
    assert page.index("\n### Credentials\n") > page.index("\n### GET\n")
