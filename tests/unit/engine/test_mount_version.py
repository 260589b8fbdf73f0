"""Every setting of a mount is in the version of its pictures, or in the list of those that change none of them."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from imgserve.engine.config import HintedMountConfig, IntakeConfig, MountConfig, NegotiatingMountConfig
from imgserve.engine.get_config import GetConfig
from imgserve.engine.mount_version import APART, PACKAGES, version_of
from imgserve.imaging.config import Config as PoolConfig
from imgserve.request.access import Access
from imgserve.request.dialects.iiif.config import Config as IiifConfig
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.encode import Defaults
from imgserve.request.limits import Limits
from imgserve.request.principal import OPERATOR_ID
from imgserve.setting import Secret
from imgserve.transfer import credentials
from imgserve.transfer.config import CredentialConfig
from imgserve.transfer.credentials import Credentials

PARTS: dict[str, msgspec.Struct] = {
    "mount": HintedMountConfig(),
    "imgproxy": ImgproxyConfig(),
    "thumbor": ThumborConfig(),
    "iiif": IiifConfig(),
    "limits": Limits(),
    "pool": PoolConfig(),
}
FIELDS = [(part, name) for part, config in PARTS.items() for name in msgspec.structs.asdict(config)]


def altered(value: object) -> Any:
    """Another value of the same type, whether it may be set or not."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case tuple():
            return (*value, "x")
        case dict():
            return {**value, "x": "https://x.test/"}
    raise AssertionError(f"no other value of {type(value)} is known: add one")


def version(parts: Mapping[str, Any], dialect: str = "imgproxy", **quality: int) -> str:
    usual: Any = {"jpeg": 80, **quality}
    return version_of(parts["mount"], parts[dialect], parts["limits"], parts["pool"], Defaults(usual))


def apart(config: msgspec.Struct) -> set[str]:
    return {name for kind in type(config).__mro__ for name in APART.get(kind, ())}


@pytest.mark.parametrize(("part", "name"), FIELDS)
def test_a_field_counts_unless_it_is_listed(part: str, name: str) -> None:
    config = PARTS[part]
    other = msgspec.structs.replace(config, **{name: altered(getattr(config, name))})
    dialect = part if part in ("imgproxy", "thumbor", "iiif") else "imgproxy"
    counts = version(PARTS, dialect) != version({**PARTS, part: other}, dialect)
    assert counts is (name not in apart(config))


def test_every_listed_field_exists_and_has_a_reason() -> None:
    for kind, reasons in APART.items():
        assert set(reasons) <= {field.name for field in msgspec.structs.fields(kind)}, kind
        assert all(reasons.values()), kind


def test_every_config_of_a_mount_is_looked_at() -> None:
    """A dialect's mount, and its grammar, are among the parts above."""
    seen = {type(config) for config in PARTS.values()} | {MountConfig, NegotiatingMountConfig}
    for field in msgspec.structs.fields(GetConfig()):
        if isinstance(config := getattr(GetConfig(), field.name), msgspec.Struct):
            assert {type(part) for part in (config.mount, config.grammar)} <= seen, field.name  # type: ignore[attr-defined]


def test_every_quality_and_the_profile_of_the_settings_count() -> None:
    config = IntakeConfig()
    qualities = [name for name in msgspec.structs.asdict(config) if name.endswith("_quality")]
    changes: list[dict[str, Any]] = [*({name: 7} for name in qualities), {"render_profile": "speed"}]
    for change in changes:
        other = msgspec.structs.replace(config, **change).defaults()
        assert version_of(MountConfig(), IiifConfig(), Limits(), PoolConfig(), other) != version_of(
            MountConfig(), IiifConfig(), Limits(), PoolConfig(), config.defaults()
        ), change


def test_one_grammar_is_not_another() -> None:
    assert len({version(PARTS, name) for name in ("imgproxy", "thumbor", "iiif")}) == 3


def test_the_packages_that_draw_are_installed_or_known_to_be_missing() -> None:
    """A misspelt name would never count."""
    from importlib.metadata import distributions

    installed = {name.lower().replace("_", "-") for one in distributions() if (name := one.metadata["Name"])}
    assert set(PACKAGES) - {"pillow-heif"} <= installed


OWN: dict[str, CredentialConfig] = {
    "shop": CredentialConfig("header", Secret("a"), ("https://h.test/",), header="X-Key", user="u", region="r-1"),
    "store": CredentialConfig("s3", Secret("a"), ("s3://bucket/",), access_key_id="id", addressing="path"),
}
CHANGED = {
    "type": "bearer",
    "secret": Secret("b"),
    "urls": ("https://h.test/", "https://x.test/"),
    "addressing": "virtual",
}


@pytest.mark.parametrize("name", msgspec.structs.asdict(OWN["shop"]))
def test_a_field_of_a_credential_counts_unless_it_is_listed(name: str) -> None:
    """A new secret, or a right of others, makes no other pictures."""
    config = OWN["shop"]
    value = CHANGED[name] if name in CHANGED else altered(getattr(config, name))
    other = msgspec.structs.replace(config, **{name: value})
    access = Access(credential="shop")
    both = [Credentials({"shop": one}).identity(access, OPERATOR_ID, "https://h.test/a") for one in (config, other)]
    assert (both[0] != both[1]) is (name not in credentials.APART)


def test_the_identity_of_a_credential() -> None:
    known = Credentials(OWN)
    assert known.identity(Access(), "@get.imgproxy", "https://h.test/a") == ""
    assert known.identity(Access(), "@get.imgproxy", "file:///a") == ""
    store = known.identity(Access(), "@get.imgproxy", "s3://bucket/a")
    assert store.startswith("store-")
    assert store == known.identity(Access(credential="store"), "@get.imgproxy", "s3://bucket/a")


def test_pictures_that_a_dialect_names() -> None:
    """All settings whose words say that they name a picture, but the fallback, whose key has its bytes."""
    config = GetConfig()
    for name in ("imgproxy", "thumbor", "iiif"):
        grammar = getattr(config, name).grammar
        naming = [field.name for field in msgspec.structs.fields(grammar) if "picture.NAME" in repr(field.type)]
        given = msgspec.structs.replace(grammar, **dict.fromkeys(naming, "mark"))
        mount = msgspec.structs.replace(getattr(config, name), grammar=given)
        assert msgspec.structs.replace(config, **{name: mount}).drawn_pictures(name) == ("mark",) * len(naming)
