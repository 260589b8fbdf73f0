"""``[credential.NAME]``: each fault of the settings with its place, none with the secret; and who need not read it."""

import argparse
from pathlib import Path

import pytest

from imgserve.setting import Secret
from imgserve.settings.load import SettingsInvalid, load, reloadable
from imgserve.transfer.config import CredentialConfig

GOOD = """[credential.cdn]
type = "bearer"
secret_file = "token"
for = ["https://cdn.test/pictures/", "https://cdn.test:8443"]
[credential.hooks]
type = "webhook"
secret_env = "HOOKS"
for = ["https://shop.test/"]
"""
HOOKS = "whsec_" + "QUFB" * 8
KEYS = "shop:0123456789abcdef0\nblog:0123456789abcdef1\n"


def environ(**more: str) -> dict[str, str]:
    return {"HOME": "/nonexistent", "HOOKS": HOOKS, "SECRET": "hunter2", **more}


def written(tmp_path: Path, text: str) -> argparse.Namespace:
    (tmp_path / "token").write_text("t0ken\n")
    path = tmp_path / "imgserve.toml"
    path.write_text(text)
    return argparse.Namespace(config=str(path))


def faults(flags: argparse.Namespace, **more: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(flags, environ(**more))
    assert "hunter2" not in str(caught.value)
    return str(caught.value).replace(f"{flags.config}, ", "").split("; ")


def test_they_arrive(tmp_path: Path) -> None:
    flags = written(tmp_path, GOOD)
    secret = Secret("t0ken", str(tmp_path / "token"))
    expected = {
        "cdn": CredentialConfig("bearer", secret, ("https://cdn.test/pictures/", "https://cdn.test:8443")),
        "hooks": CredentialConfig("webhook", Secret(HOOKS), ("https://shop.test/",)),
    }
    settings = load(flags, environ())
    assert settings.credentials == expected == reloadable(flags, environ()).credentials
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ('type = "token"', 'expected one of basic, bearer, header, s3, webhook, got the text "token"'),
        ('type = "basic"', "[credential.a] type: expected user beside it"),
        ('type = "basic"\nuser = "a:b"', "[credential.a] user: expected visible ASCII characters without a colon"),
        ('type = "header"', "[credential.a] type: expected header beside it"),
        ('type = "header"\nheader = "Host"', "[credential.a] header: expected the name of a header such as X-Api-Key"),
        ('type = "header"\nheader = "X A"', "[credential.a] header: expected the name of a header such as X-Api-Key"),
        ('type = "bearer"\nheader = "X-A"', "[credential.a] header: belongs to a credential of the type header"),
        ('type = "bearer"\ndefault = true', "[credential.a] default: belongs to a credential of the type webhook"),
        ('type = "bearer"\npublic_url = "ftp://h/"', "[credential.a] public_url: expected an http(s) URL without"),
        ('type = "webhook"', "[credential.a] secret_env: expected whsec_ and 24 to 64 bytes in base64, one a line"),
        ('type = "s3"', "[credential.a] type: expected access_key_id beside it"),
    ],
)
def test_faults(tmp_path: Path, fields: str, fault: str) -> None:
    flags = written(tmp_path, f'[credential.a]\nsecret_env = "SECRET"\nfor = ["https://h.test/"]\n{fields}\n')
    found = faults(flags)
    assert any(fault in one for one in found), found


@pytest.mark.parametrize(
    "url", ["h.test", "ftp://h.test/", "https://u:hunter2@h.test/", "https://h/?x", "s3://bucket/"]
)
def test_faults_of_prefixes(tmp_path: Path, url: str) -> None:
    flags = written(tmp_path, f'[credential.a]\ntype = "bearer"\nsecret_env = "SECRET"\nfor = ["{url}"]\n')
    [fault] = faults(flags)
    assert fault.startswith("line 4: [credential.a] for: expected ")


@pytest.mark.parametrize(
    "secret", ["two words", "ü", "a\nX-Evil: 1", "a\r"], ids=["words", "umlaut", "second line", "carriage return"]
)
def test_a_token_is_one_word(tmp_path: Path, secret: str) -> None:
    flags = written(tmp_path, GOOD)
    (tmp_path / "token").write_text(f"x{secret}x")
    [fault] = faults(flags)
    assert fault == "line 3: [credential.cdn] secret_file: expected one line of visible ASCII characters without spaces"


@pytest.mark.parametrize(
    "secret", ["whsec_" + "QUFB" * 7 + "!", "QUFB" * 8, "whsec_" + "QUFB" * 7, "whsec_" + "QUFB" * 22]
)
def test_secrets_of_webhooks(tmp_path: Path, secret: str) -> None:
    flags = written(tmp_path, GOOD)
    load(flags, environ(HOOKS=f"{HOOKS}\n {HOOKS}"))
    [fault] = faults(flags, HOOKS=f"{HOOKS} {secret}")
    assert fault.startswith("line 7: [credential.hooks] secret_env: expected whsec_ and 24 to 64 bytes")


def test_with_keys_of_two_names_each_credential_names_its_principals(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEYS)
    flags = written(tmp_path, f'api_key_file = "keys"\n{GOOD}principals = ["shop"]\n')
    [fault] = faults(flags)
    assert fault.startswith("line 3: [credential.cdn] type: expected principals beside it")
    (tmp_path / "keys").write_text(KEYS.replace("blog", "shop"))
    assert len(load(flags, environ()).credentials) == 2


@pytest.mark.parametrize(
    ("first", "second", "is_good"),
    [
        ('["shop", "blog"]', '["news"]', True),
        ('["shop", "blog"]', '["blog"]', False),
        ('["shop"]', "[]", False),
        ("[]", '["shop"]', False),
    ],
)
def test_a_principal_has_one_default(tmp_path: Path, first: str, second: str, is_good: bool) -> None:
    other = GOOD.partition("[credential.hooks]")[2]
    text = f"{GOOD}default = true\nprincipals = {first}\n[credential.b]{other}default = true\nprincipals = {second}\n"
    flags = written(tmp_path, text)
    if is_good:
        assert load(flags, environ()).credentials["b"].is_default
    else:
        [fault] = faults(flags)
        expected = "[credential.hooks] is the default of the same principals already"
        assert fault == f"line 15: [credential.b] default: {expected}"


def test_a_secret_in_a_variable_of_the_server_alone_can_be_looked_past(tmp_path: Path) -> None:
    flags = written(tmp_path, GOOD)
    assert faults(flags, HOOKS="") == [
        "line 7: [credential.hooks] secret_env: expected a secret in HOOKS, there is none"
    ]
    assert load(flags, environ(HOOKS=""), is_look=True).credentials["hooks"].secret == Secret("")


BUCKET = """queue = "postgresql://db.test/jobs"
queue_uploads = "s3://pics/uploads"
[credential.store]
type = "s3"
access_key_id = "A"
secret_env = "SECRET"
for = ["s3://pics/uploads"]
principals = ["@operator"]
"""


def test_a_bucket_for_uploads_has_a_credential_of_its_own(tmp_path: Path) -> None:
    """A job that may use it could read the pictures of others, and write over them."""
    assert load(written(tmp_path, BUCKET), environ()).uploads.bucket == "s3://pics/uploads"
    wider = BUCKET.replace("store", "all").partition("[")[2].replace("/uploads", "").replace("@operator", "shop")
    for text, fault in (
        (
            BUCKET.replace('s3://pics/uploads"]', 's3://other"]'),
            "expected a [credential.NAME] of the type s3 that is for",
        ),
        (BUCKET.replace("@operator", "shop"), 'expected principals = ["@operator"] in [credential.store]'),
        (f"{BUCKET}[{wider}", 'expected principals = ["@operator"] in [credential.all]'),
    ):
        flags = written(tmp_path, text)
        [found] = faults(flags)
        assert found.startswith(f"line 2: queue_uploads: {fault}")
        with pytest.raises(SettingsInvalid, match="line 2: queue_uploads"):
            reloadable(flags, environ(), bucket="s3://pics/uploads")


@pytest.mark.parametrize(
    "place", ["disk", "https://pics.test/uploads", "s3://u:p@pics/", "s3://pics/?x", "s3://pics/../x"]
)
def test_no_place_for_uploads(tmp_path: Path, place: str) -> None:
    [found] = faults(written(tmp_path, BUCKET.replace("s3://pics/uploads", place, 1)))
    assert found == "line 2: queue_uploads: expected `database` or a URL such as s3://bucket/uploads"
