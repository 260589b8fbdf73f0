"""``[webhook.NAME]``: each fault of the settings with its place, none with the URL."""

import argparse
from pathlib import Path

import pytest

from imgserve.engine.config import WebhookConfig
from imgserve.settings.load import SettingsInvalid, load, reloadable

CREDENTIAL = '[credential.hooks]\ntype = "webhook"\nsecret_env = "HOOKS"\nfor = ["https://shop.test/"]\n'
ENVIRON = {"HOME": "/nonexistent", "HOOKS": "whsec_" + "QUFB" * 8}
KEYS = "shop:0123456789abcdef0\nblog:0123456789abcdef1\n"


def written(tmp_path: Path, text: str) -> argparse.Namespace:
    path = tmp_path / "imgserve.toml"
    path.write_text(text)
    return argparse.Namespace(config=str(path))


def faults(flags: argparse.Namespace) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(flags, ENVIRON)
    assert "rosebud" not in str(caught.value)
    return str(caught.value).replace(f"{flags.config}, ", "").split("; ")


def test_one_arrives(tmp_path: Path) -> None:
    text = f'{CREDENTIAL}[webhook.shop]\nurl = "https://shop.test/in?t=rosebud"\nevents = ["job.failed"]\n'
    flags = written(tmp_path, text)
    settings = load(flags, ENVIRON)
    expected = {"shop": WebhookConfig("https://shop.test/in?t=rosebud", ("job.failed",))}
    assert settings.webhooks == expected == reloadable(flags, ENVIRON).webhooks
    assert settings.webhooks["shop"].webhook().events == ("job.failed",)
    assert "rosebud" not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ('events = ["job.failed"]', "line 5: [webhook.a]: expected url in it"),
        ('url = "ftp://rosebud.test/"', "line 6: [webhook.a] url: expected an http(s) URL"),
        ('url = "https://shop.test/"\nevents = ["job.ended"]', "line 7: [webhook.a] events: "),
        (
            'url = "https://shop.test/"\nevents = ["job.failed", "job.failed"]',
            "[webhook.a] events: expected each event",
        ),
        ('url = "https://shop.test/"\nsecret = "no such"', "[webhook.a] secret: expected the name of a credential"),
        (
            'url = "https://shop.test/"\nsecret = "other"',
            "[webhook.a] secret: no credential of the type webhook may sign",
        ),
        (
            'url = "https://rosebud.test/"',
            "[webhook.a] url: no credential of the type webhook may sign messages of all",
        ),
        ('url = "https://shop.test/"\nretries = 3', "[webhook.a] retries"),
    ],
)
def test_each_fault_has_its_place(tmp_path: Path, fields: str, fault: str) -> None:
    [said] = faults(written(tmp_path, f"{CREDENTIAL}[webhook.a]\n{fields}\n"))
    assert fault in said


def test_a_principal_has_one(tmp_path: Path) -> None:
    table = '[webhook.{}]\nurl = "https://shop.test/{}"\n{}'
    both = table.format("a", "a", "") + table.format("b", "b", "")
    [said] = faults(written(tmp_path, CREDENTIAL + both))
    assert "[webhook.b] url: [webhook.a] is the webhook already" in said


def test_with_several_keys_each_names_its_principals(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEYS)
    own = 'api_key_file = "keys"\n' + CREDENTIAL + 'principals = ["shop"]\n'
    table = '[webhook.a]\nurl = "https://shop.test/in"\n'
    assert load(written(tmp_path, f'{own}{table}principals = ["shop"]\n'), ENVIRON).webhooks["a"].principals == (
        "shop",
    )
    for principals in ("", 'principals = ["shop", "blog"]\n'):
        [said] = faults(written(tmp_path, own + table + principals))
        assert "[webhook.a] url: no credential of the type webhook may sign messages of" in said
