"""What the pictures of a mount depend on besides their URL, their source and the client's headers: a text for the keys
of the cache. Called by ``server/onthefly``.

Every field of these settings counts unless ``APART`` lists it: a new one makes other entries, and never a wrong answer.
The bytes of named pictures, and credentials, count too; ``images`` adds them, since they change at other times.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

import msgspec

from imgserve.engine.config import HintedMountConfig, MountConfig, NegotiatingMountConfig
from imgserve.imaging.config import Config as PoolConfig
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.encode import Defaults
from imgserve.request.limits import Limits

# Another release of these draws other pictures, or reads formats that were refused before.
PACKAGES = ("cykooz-resizer", "pi-heif-decoder", "pillow", "pillow-heif", "py-svg-hush", "pyvips-binary")

_SOURCE = "the key has the source's own URL"
_RIGHT = "says who may ask, and not what the answer is"
_EACH_ANSWER = "of each answer, made anew from what is cached"
_PARAMETER = "the key has what headers have chosen"
_WORK = "of the work, and not of the picture"
# Fields that change no picture, and no header that is cached with one, each with the reason.
APART: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    MountConfig: {
        "sources": _SOURCE,
        "names": _SOURCE,
        "base_url": _SOURCE,
        "allow_unsigned": _RIGHT,
        "max_age_s": _EACH_ANSWER,
        "follows_source": _EACH_ANSWER,
        "fallback": "the key of a fallback has its bytes",
        "fallback_status": _EACH_ANSWER,
        "fallback_max_age_s": _EACH_ANSWER,
    },
    NegotiatingMountConfig: {"formats": _PARAMETER},
    HintedMountConfig: {"has_client_hints": _PARAMETER},
    ImgproxyConfig: {"keys": _RIGHT, "salts": _RIGHT, "signature_size": _RIGHT, "trusted_signatures": _RIGHT},
    ThumborConfig: {"keys": _RIGHT, "digest": _RIGHT, "signature_length": _RIGHT},
    PoolConfig: {
        "workers": _WORK,
        "render_timeout_s": _WORK,
        "svg_timeout_s": _WORK,
        "probe_timeout_s": _WORK,
        "recycle_after": _WORK,
        "memory_limit_bytes": _WORK,
        "sandbox": _WORK,
        "isolation": _WORK,
    },
}


def version_of(
    mount: MountConfig, grammar: msgspec.Struct, limits: Limits, pool: PoolConfig, defaults: Defaults
) -> str:
    """``defaults``: for results whose recipe sets none."""
    settings = [_counted(config) for config in (mount, grammar, limits, pool)]
    text = msgspec.json.encode((_programs(), settings, defaults), order="sorted")
    return f"{version('imgserve')}-{blake2b(text, digest_size=8).hexdigest()}"


def _counted(config: msgspec.Struct) -> dict[str, object]:
    apart = {name for kind in type(config).__mro__ for name in APART.get(kind, ())}
    return {name: value for name, value in msgspec.structs.asdict(config).items() if name not in apart}


@lru_cache(maxsize=1)
def _programs() -> tuple[str, ...]:
    return tuple(f"{name} {_release(name)}" for name in PACKAGES)


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
