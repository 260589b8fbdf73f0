"""imgproxy's variables, without their ``IMGPROXY_``: the setting that each becomes, or what to do without one.

From https://docs.imgproxy.net/configuration/options, editions 3 and 4.
"""

from typing import Literal, NamedTuple

Kind = Literal["flag", "whole", "number", "text", "list"]


class Row(NamedTuple):
    kind: Kind
    key: str


# Of the mount.
MOUNT: dict[str, Row] = {
    "SIGNATURE_SIZE": Row("whole", "signature_size"),
    "TRUSTED_SIGNATURES": Row("list", "trusted_signatures"),
    "ARGUMENTS_SEPARATOR": Row("text", "arguments_separator"),
    "ALLOW_SECURITY_OPTIONS": Row("flag", "allow_security_options"),
    "ONLY_PRESETS": Row("flag", "only_presets"),
    "BASE64_URL_INCLUDES_FILENAME": Row("flag", "base64_url_includes_filename"),
    "BASE_URL": Row("text", "base_url"),
    "QUALITY": Row("whole", "quality"),
    "FORMAT_QUALITY": Row("list", "format_quality"),
    "ALWAYS_RASTERIZE_SVG": Row("flag", "always_rasterize_svg"),
    "AUTO_ROTATE": Row("flag", "auto_rotate"),
    "STRIP_METADATA": Row("flag", "strip_metadata"),
    "KEEP_COPYRIGHT": Row("flag", "keep_copyright"),
    "STRIP_COLOR_PROFILE": Row("flag", "strip_color_profile"),
    "RETURN_ATTACHMENT": Row("flag", "return_attachment"),
    "WATERMARK_OPACITY": Row("number", "watermark_opacity"),
    "MAX_SRC_RESOLUTION": Row("number", "max_src_resolution"),
    "MAX_SRC_FILE_SIZE": Row("whole", "max_src_file_size"),
    "MAX_ANIMATION_FRAMES": Row("whole", "max_animation_frames"),
    "MAX_ANIMATION_FRAME_RESOLUTION": Row("number", "max_animation_frame_resolution"),
    "MAX_RESULT_DIMENSION": Row("whole", "max_result_dimension"),
    "ENABLE_CLIENT_HINTS": Row("flag", "client_hints"),
    "CACHE_CONTROL_PASSTHROUGH": Row("flag", "cache_control_of_source"),
    "TTL": Row("whole", "max_age_s"),
}
# Of the server.
SERVER: dict[str, Row] = {
    "DOWNLOAD_TIMEOUT": Row("number", "source_timeout_s"),
    "TIMEOUT": Row("number", "render_timeout_s"),
    "READ_TIMEOUT": Row("number", "request_header_timeout_s"),
    "READ_REQUEST_TIMEOUT": Row("number", "request_header_timeout_s"),
    "MAX_CLIENTS": Row("whole", "max_connections"),
    "WORKERS": Row("whole", "workers"),
    "CONCURRENCY": Row("whole", "workers"),
}
_BY_SERVER = "nothing: the server looks after it itself"
_CREDENTIAL = "write a table [credential.NAME] for these sources, and its name into credential of the mount"
_LOG = "read the log, or send it on with the tools of your system"
_PRO = "an option of the Pro edition, which is not offered"
# Without a setting, and without a risk.
WITHOUT: dict[str, str] = {
    "USE_ETAG": "nothing: every picture has an ETag",
    "USE_LAST_MODIFIED": "nothing: Last-Modified is the source's",
    "ETAG_BUSTER": "purge the cache where it would change",
    "SET_CANONICAL_HEADER": "let the proxy in front add the Link header",
    "ENABLE_DEBUG_HEADERS": "take sizes from the log",
    "DEVELOPMENT_ERRORS_MODE": "read the reason of a refusal in the log",
    "USER_AGENT": "nothing: sources see imgserve's own",
    "MAX_SVG_CHECK_BYTES": _BY_SERVER,
    "WRITE_TIMEOUT": _BY_SERVER,
    "WRITE_RESPONSE_TIMEOUT": _BY_SERVER,
    "KEEP_ALIVE_TIMEOUT": _BY_SERVER,
    "CLIENT_KEEP_ALIVE_TIMEOUT": _BY_SERVER,
    "GRACEFUL_STOP_TIMEOUT": "set drain_s",
    "SO_REUSEPORT": _BY_SERVER,
    "DOWNLOAD_BUFFER_SIZE": _BY_SERVER,
    "FREE_MEMORY_INTERVAL": _BY_SERVER,
    "BUFFER_POOL_CALIBRATION_THRESHOLD": _BY_SERVER,
    "MALLOC": _BY_SERVER,
    "USE_LINEAR_COLORSPACE": "nothing: pictures are scaled as imgproxy does by default",
    "DISABLE_SHRINK_ON_LOAD": _BY_SERVER,
    "ENFORCE_THUMBNAIL": "nothing: the picture itself is read",
    "PRESERVE_HDR": "nothing: results have 8 bits",
    "SVG_FIX_UNSUPPORTED": _BY_SERVER,
    "HEALTH_CHECK_PATH": "ask /health",
    "HEALTH_CHECK_MESSAGE": "ask /health",
    "REPORT_DOWNLOADING_ERRORS": _LOG,
    "SERVER_NAME": _PRO,
    "STRIP_METADATA_DPI": _PRO,
    "AUTO_JXL": "JPEG XL is not written; clients get AVIF or WebP",
    "ENABLE_JXL_DETECTION": "JPEG XL is not written; clients get AVIF or WebP",
    "ENFORCE_JXL": "JPEG XL is not written; clients get AVIF or WebP",
    "FALLBACK_IMAGES_CACHE_SIZE": _PRO,
    "WATERMARKS_CACHE_SIZE": _PRO,
    "REQUEST_HEADERS_PASSTHROUGH": _CREDENTIAL,
    "RESPONSE_HEADERS_PASSTHROUGH": "let the proxy in front add headers",
    "CUSTOM_REQUEST_HEADERS": _CREDENTIAL,
    "CUSTOM_RESPONSE_HEADERS": "let the proxy in front add headers",
    "CUSTOM_HEADERS_SEPARATOR": _PRO,
    "RAW": "set allow_raw in the mount if URLs use raw",
    "COOKIE_PASSTHROUGH": _CREDENTIAL,
    "COOKIE_PASSTHROUGH_ALL": _CREDENTIAL,
    "COOKIE_BASE_URL": _CREDENTIAL,
    "PRESETS_SEPARATOR": "nothing: it has parted the presets",
}
# By the beginning of a name.
GROUPS: dict[str, str] = {
    "JPEG_": "write jpeg_options into a preset called default; of the others only progressive counts",
    "PNG_": "write png_options into a preset called default",
    "WEBP_": "write webp_options into a preset called default; of the others only lossless counts",
    "AVIF_": _BY_SERVER,
    "JXL_": "JPEG XL is not written",
    "S3_": _CREDENTIAL,
    "USE_S3": _CREDENTIAL,
    "GCS_": "Google's storage is reached by its S3 interface: " + _CREDENTIAL,
    "USE_GCS": "Google's storage is reached by its S3 interface: " + _CREDENTIAL,
    "ABS_": "Azure's storage is reached by HTTPS URLs: " + _CREDENTIAL,
    "USE_ABS": "Azure's storage is reached by HTTPS URLs: " + _CREDENTIAL,
    "SWIFT_": "Swift is reached by HTTPS URLs: " + _CREDENTIAL,
    "USE_SWIFT": "Swift is reached by HTTPS URLs: " + _CREDENTIAL,
    "PROMETHEUS_": "ask /metrics",
    "NEW_RELIC_": "ask /metrics, or set otel_endpoint",
    "DATADOG_": "ask /metrics, or set otel_endpoint",
    "CLOUD_WATCH_": "ask /metrics",
    "OPEN_TELEMETRY_": "set otel_endpoint to a receiver of OTLP/HTTP",
    "BUGSNAG_": _LOG,
    "HONEYBADGER_": _LOG,
    "SENTRY_": _LOG,
    "AIRBRAKE_": _LOG,
    "SYSLOG_": _LOG,
    "AUTOQUALITY_": _PRO,
    "BEST_FORMAT_": _PRO,
    "VIDEO_": _PRO,
    "ENABLE_VIDEO_": _PRO,
    "UNSHARP_MASKING_": _PRO,
    "SMART_CROP_": _PRO,
    "OBJECT_DETECTION_": _PRO,
    "INFO_": _PRO,
    "ENV_": "write these variables into the file, and import it again",
}
# Whose loss opens or shows something.
RISKY: dict[str, str] = {
    "SECRET": "let the proxy in front check the Authorization header: URLs are protected by their signature alone",
    "SOURCE_URL_ENCRYPTION_KEY": "encrypted sources are not read; short names of the mount (names) hide a host too",
}
