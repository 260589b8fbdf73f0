"""Settings of mounts that open too much, or cannot work, are refused in one sentence."""

import argparse
from pathlib import Path

import pytest

from imgserve.settings.load import SettingsInvalid, load, reloadable

ON = 'path = "/t"\nallow_unsigned = true\nsources = ["a.test"]'
WRONG = {
    '[get.imgproxy]\npath = "/"': "[get.imgproxy] key_file: expected keys beside the path, or allow_unsigned = true",
    '[get.thumbor]\npath = "/t"': "[get.thumbor] key_file: expected keys beside the path, or allow_unsigned = true",
    '[get.iiif]\npath = "/i"': "[get.iiif] path: expected allow_unsigned = true with a list of sources",
    **{
        f'[get.{name}]\npath = "/i"\nallow_unsigned = true': f"[get.{name}] allow_unsigned: expected sources"
        for name in ("imgproxy", "thumbor", "iiif")
    },
    **{
        f"[get.thumbor]\n{ON.replace('/t', path)}": "[get.thumbor] path: expected a path"
        for path in ("images", "/v1", "/v1/x", "/health", "/metrics/", "/a b", "/a%2fb", "/a?b", "/a//b", "/a/../b")
    },
    f"[get.thumbor]\n{ON.replace('a.test', 'a b')}": "[get.thumbor] sources[0]: expected a host",
    f'[get.thumbor]\n{ON}\nbase_url = "a"': "[get.thumbor] base_url: expected the beginning of a URL",
    f'[get.thumbor]\n{ON}\nnames = {{http = "http://a.test"}}': "[get.thumbor] names.http: expected a word",
    f'[get.thumbor]\n{ON}\nnegotiate = ["jpeg"]': "[get.thumbor] negotiate: expected each of avif, webp once",
    f'[get.thumbor]\n{ON}\nfallback = "none"': "[get.thumbor] fallback: expected the name of a picture",
    f'[get.thumbor]\n{ON}\ncredential = "none"': "[get.thumbor] credential: expected the name of a credential",
    f"[get.iiif]\n{ON}\n[get.thumbor]\n{ON}": "[get.iiif] path: expected another path than that of [get.thumbor]",
    f'[get.imgproxy]\n{ON}\nwatermark = "none"': "[get.imgproxy] watermark: expected the name of a picture",
    f'[get.thumbor]\n{ON}\npublic_url = "img.test"': "[get.thumbor] public_url: expected a URL such as https://",
    'trusted_proxies = ["10.0.0.300"]': "trusted_proxies[0]: expected networks",
}


@pytest.mark.parametrize("table", WRONG)
def test_it_is_refused(tmp_path: Path, table: str) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text(table + "\n")
    with pytest.raises(SettingsInvalid) as refused:
        load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent"})
    assert WRONG[table] in str(refused.value)
    assert ";" not in str(refused.value)


def refused(file: Path, **environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent", **environ})
    return str(caught.value)


def test_keys_come_from_files_and_variables(tmp_path: Path) -> None:
    """Several, one a line or with commas between them; none of them is shown."""
    (tmp_path / "key").write_text("0a0b,\n0c0d\n")
    (tmp_path / "salt").write_text("0e0f\n\n1011")
    file = tmp_path / "imgserve.toml"
    file.write_text(
        '[get.imgproxy]\npath = "/"\nkey_file = "key"\nsalt_env = "SALTS"\n'
        '[get.thumbor]\npath = "/t"\nkey_env = "SIGNS"\n'
    )
    environ = {"HOME": "/nonexistent", "SALTS": "0e0f, 1011", "SIGNS": "a-key another-key"}
    config = load(argparse.Namespace(config=str(file)), environ).get
    assert [pair.key for pair in config.imgproxy.grammar.key_pairs()] == [b"\n\x0b", b"\x0c\r"]
    assert [pair.salt for pair in config.imgproxy.grammar.key_pairs()] == [b"\x0e\x0f", b"\x10\x11"]
    assert [key.text for key in config.thumbor.grammar.keys] == ["a-key", "another-key"]
    assert "0a0b" not in repr(config)
    variables = {
        "IMGSERVE_GET_IMGPROXY_PATH": "/", "IMGSERVE_GET_IMGPROXY_KEY_ENV": "KEYS", "KEYS": "0a0b 0c0d",
        "IMGSERVE_GET_IMGPROXY_SALT_FILE": str(tmp_path / "salt"),
    }  # fmt: skip
    by_variables = load(argparse.Namespace(), {"HOME": "/nonexistent", **variables}).get.imgproxy.grammar
    assert by_variables.key_pairs() == config.imgproxy.grammar.key_pairs()


@pytest.mark.parametrize(
    ("keys", "salts", "fault"),
    [
        ("0a", "0b 0c", "[get.imgproxy] key_env: expected as many keys as salts"),
        ("0x", "0b", "[get.imgproxy] key_env[0]: expected hexadecimal digits"),
        ("0a,0b", "0b,0bc", "[get.imgproxy] salt_env[1]: expected hexadecimal digits"),
        (" \n,, ", "0b", "[get.imgproxy] key_env: expected a secret in K, there is none"),
        ("0a", "", "[get.imgproxy] salt_env: expected a secret in S, there is none"),
    ],
)
def test_keys_that_are_none(tmp_path: Path, keys: str, salts: str, fault: str) -> None:
    """One sentence, without the key, from a variable and from a file."""
    file = tmp_path / "imgserve.toml"
    table = '[get.imgproxy]\npath = "/"\nkey_env = "K"\nsalt_env = "S"'
    file.write_text(table)
    told = refused(file, K=keys, S=salts)
    assert fault in told
    assert ";" not in told
    (tmp_path / "K").write_text(keys)
    (tmp_path / "S").write_text(salts)
    file.write_text(table.replace("_env", "_file"))
    assert fault.replace("_env", "_file").replace(" in ", f" in {tmp_path}/") in refused(file)


def test_a_key_that_another_user_has_is_no_fault_for_a_look(tmp_path: Path) -> None:
    """``imgserve check`` by somebody else: the variable is the server's."""
    file = tmp_path / "imgserve.toml"
    file.write_text(
        '[get.imgproxy]\npath = "/"\nkey_env = "K"\nsalt_env = "S"\n[get.thumbor]\npath = "/t"\nkey_env = "T"'
    )
    for environ in ({}, {"K": "0a 0b"}):
        settings = load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent", **environ}, is_look=True)
        assert len(settings.get.mounts) == 2


def test_a_hangup_finds_names_without_a_table_too(tmp_path: Path) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text(f'[get.thumbor]\n{ON}\nfallback = "none"\n')
    with pytest.raises(SettingsInvalid, match=r"\[get.thumbor\] fallback: expected the name of a picture"):
        reloadable(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent"})


INNER = f"[get.thumbor]\n{ON.replace('/t', '/a/INNER')}"
OUTER = '[get.imgproxy]\ntrusted_signatures = ["friends"]\n' + ON.replace("/t", "/a")


@pytest.mark.parametrize("inner", ["unsafe", "insecure/x", "_", "friends"])
def test_a_mount_takes_no_urls_of_the_one_above_it(tmp_path: Path, inner: str) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text(f"{OUTER}\n{INNER.replace('INNER', inner)}")
    assert "[get.thumbor] path: expected a path that is no URL of [get.imgproxy], which is mounted at /a" in refused(
        file
    )
    file.write_text(f"{OUTER}\n{INNER.replace('INNER', 'thumbor')}")
    load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent"})
    file.write_text(f"[get.iiif]\n{ON.replace('/t', '/')}\n{INNER}")
    assert "no URL of [get.iiif], which is mounted at /" in refused(file)


@pytest.mark.parametrize("path", ["/", "/images", "/a/b/", "/v1x", "/a.b_c~d-e"])
def test_it_is_taken(tmp_path: Path, path: str) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text(f"[get.thumbor]\n{ON.replace('/t', path)}\n")
    assert load(argparse.Namespace(config=str(file)), {"HOME": "/nonexistent"}).get.thumbor.mount.path == path
