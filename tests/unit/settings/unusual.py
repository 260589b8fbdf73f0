"""Values of settings in tables that are not their defaults. Used by ``test_settings``."""

from imgserve.settings.options import Option

# A mount without them is refused.
PATHS_OF_MOUNTS = {
    f"get.{name}.path": {"allow_unsigned": True, "sources": ["a.test"]} for name in ("imgproxy", "thumbor", "iiif")
}
_BY_KEY: dict[str, object] = {
    "path": "/pictures", "sources": ("a.test", "https://b.test/x/"), "public_url": "https://img.test/p",
    "base_url": "https://a.test/x/", "names": {"shop": "https://shop.test/", "press": "s3://press/a"},
    "credential": "shop", "fallback": "none", "negotiate": ("avif",),
    "trusted_signatures": ("one", "two"), "arguments_separator": ";", "allowed_options": ("w", "h"),
    "presets": ("small=w:10", "large=w:100"), "url_replacements": ("^a=>b",), "format_quality": ("webp=70",),
    "enforced_formats": ("webp",), "skip_processing_formats": ("gif",), "watermark": "logo", "watermark_opacity": 0.5,
    "signature_size": 16, "signature_length": 20, "digest": "sha256", "smart": "ignore",
    "extra_formats": ("webp",), "rights": "http://rights.test/by/4.0/",
}  # fmt: skip
_BY_NAME: dict[str, object] = {
    "get.imgproxy.preferred_formats": ("webp", "png"), "get.iiif.preferred_formats": ("webp", "png"),
}  # fmt: skip


def unusual_in_table(option: Option) -> object:
    """As the Config will hold it."""
    if option.name in _BY_NAME or option.key in _BY_KEY:
        return _BY_NAME.get(option.name, _BY_KEY.get(option.key))
    usual = option.default
    if isinstance(usual, bool):
        return not usual
    assert isinstance(usual, int | float)
    return type(usual)(usual + 1)
