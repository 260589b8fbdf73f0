"""OpenTelemetry spans, for a server with an endpoint; without one nothing of OpenTelemetry is imported.

``stage.py`` opens a span for each stage; intake stores ``traceparent`` with the job, so that an attempt continues the
trace of its post; ``transfer`` sends it on. The exporter reaches the one endpoint of the server's settings.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING

from imgserve.errors import ImgserveError
from imgserve.telemetry.config import TracingConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

EXPORT_TIMEOUT_S = 5
FLUSH_MS = 3000
Scope = AbstractContextManager[object]


class TracingUnavailable(ImgserveError):
    """Traces cannot be sent."""


class _State:
    provider: "TracerProvider | None" = None  # None: tracing is off
    tracer: "Tracer"


def start(config: TracingConfig) -> None:
    """Send spans from now on, if there is an endpoint. Raises TracingUnavailable."""
    if not config.endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            f"--otel-endpoint needs OpenTelemetry, which is not installed ({error.name} is missing)",
            "from the sources, with the server's own pip: pip install '.[otel]'",
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": "imgserve", "service.version": version("imgserve")})
    )
    exporter = OTLPSpanExporter(endpoint=config.endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _State.provider, _State.tracer = provider, provider.get_tracer("imgserve", version("imgserve"))


def traceparent_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """A request's W3C trace context, unchecked; empty when tracing is off."""
    if not is_on():
        return ""
    return next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), "")


def stop() -> None:
    """Send the spans that have ended; blocks for a few seconds at most."""
    provider, _State.provider = _State.provider, None
    if provider is not None:
        provider.force_flush(FLUSH_MS)
        provider.shutdown()


def is_on() -> bool:
    return _State.provider is not None


def begin(name: str, parent: str, attributes: dict[str, str | int]) -> Scope:
    """A span beneath ``parent`` (a traceparent header) or the current one. For a server whose tracing is on.

    It is the current span until ``end``, which must be called in the same task.
    """
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    scope = _State.tracer.start_as_current_span(
        name,
        context=TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None,
        attributes=attributes,
        record_exception=False,  # its text may hold what a client sent
        set_status_on_exception=False,
    )
    scope.__enter__()
    return scope


def end(scope: Scope, code: str) -> None:
    """``code``: the code of the error that ended the span, or empty."""
    from opentelemetry.trace import StatusCode, get_current_span

    if code:
        get_current_span().set_attribute("error.type", code)
        get_current_span().set_status(StatusCode.ERROR)
    scope.__exit__(None, None, None)


def traceparent() -> str:
    """The W3C header that names the current span, or an empty text."""
    if not is_on():
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")
