"""Traces: a real OTLP/HTTP receiver decodes what the server sends; peers see the header that continues them."""

import contextlib
import re
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.service.conftest import put_pictures
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.sites import Serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


def texts(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


class Collector(Serving):
    """Takes spans at ``url``; ``headers`` are the traceparents that a source or destination was sent."""

    def __init__(self, files: Path) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.headers: dict[str, list[str]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(texts(group.resource.attributes))
                    for scope in group.scope_spans:
                        collector.spans.extend(scope.spans)
                self._answer(b"")

            def do_GET(self) -> None:
                self._note()
                self._answer((files / self.path.lstrip("/")).read_bytes())

            def do_PUT(self) -> None:
                self._note()
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(b"")

            def _note(self) -> None:
                collector.headers.setdefault(f"{self.command} {self.path}", []).append(
                    self.headers["traceparent"] or ""
                )

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))

    def named(self, name: str) -> Span:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def files(tmp_path: Path) -> Path:
    put_pictures(tmp_path / "http")
    whole = (tmp_path / "http" / "photo.jpg").read_bytes()
    (tmp_path / "http" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "http"


def job(url: str, source: str = "Ex.png") -> dict[str, object]:
    args = {"width": 40, "height": 30, "method": "PUT"}
    return {"operationType": "resize", "srcURL": f"{url}/{source}", "dstURL": f"{url}/out.png", "args": args}


def test_a_job_is_one_trace_from_its_callers_span_on(tmp_path: Path, files: Path) -> None:
    with Collector(files) as collector:
        arguments = (*LOOPBACK, "--otel-endpoint", collector.url)
        with Daemon(tmp_path / "data", *arguments) as server:
            reply = server.post(job(collector.url), headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
            assert reply.status == 200
            wait_until(lambda: " settled " in server.log)
            assert server.stop() == 0
        stages = {"intake", "probe", "deliver_placeholder", "attempt", "fetch", "render", "deliver_final"}
        assert {span.name for span in collector.spans} == stages
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
        intake, attempt = collector.named("intake"), collector.named("attempt")
        assert intake.parent_span_id.hex() == CALLER
        assert attempt.parent_span_id == intake.span_id
        for inner, outer in (("probe", intake), ("deliver_placeholder", intake), ("fetch", attempt),
                             ("render", attempt), ("deliver_final", attempt)):  # fmt: skip
            assert collector.named(inner).parent_span_id == outer.span_id, inner
        names = {texts(span.attributes).get("imgserve.job") for span in collector.spans}
        assert names == {reply.headers["x-imgserve-job"]}
        assert collector.resources[0]["service.name"] == "imgserve"
        # The peers were given what lets them go on: a span of this trace that was open then.
        for call, parent in (("GET /Ex.png", intake), ("PUT /out.png", collector.named("deliver_placeholder"))):
            assert collector.headers[call][0] == f"00-{TRACE}-{parent.span_id.hex()}-01", call
        assert collector.headers["PUT /out.png"][-1].split("-")[2] == collector.named("deliver_final").span_id.hex()


def test_a_trace_goes_on_after_kill_9(tmp_path: Path, files: Path) -> None:
    with Collector(files) as collector:
        arguments = (*LOOPBACK, "--otel-endpoint", collector.url)
        switches = {"failpoint": "claimed", "quiet_s": 0.1}
        with Daemon(tmp_path / "data", *arguments, switches=switches) as server:
            with contextlib.suppress(ConnectionError):  # it may be claimed before its reply is out
                server.post(job(collector.url), headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
            assert server.wait() == 137
            server.switches = {"quiet_s": 0.1}
            server.start()
            wait_until(lambda: " settled " in server.log)
            assert server.stop() == 0
        assert collector.named("attempt").trace_id.hex() == TRACE


def test_a_fault_marks_its_spans_and_tells_no_secret(tmp_path: Path, files: Path) -> None:
    with Collector(files) as collector:
        url = collector.url.replace("//", "//user:s3cr3t@")
        with Daemon(tmp_path / "data", *LOOPBACK, "--otel-endpoint", collector.url + "/") as server:
            server.post(job(url, "cut.jpg"))
            wait_until(lambda: "outbox_done" in server.log)
            assert server.stop() == 0
        for name in ("render", "attempt"):
            span = collector.named(name)
            assert span.status.code == Status.STATUS_CODE_ERROR
            assert texts(span.attributes)["error.type"] == "source_unreadable"
        assert collector.named("deliver_failed").parent_span_id == collector.named("outbox").span_id
        assert collector.named("outbox").trace_id == collector.named("attempt").trace_id
        assert "s3cr3t" not in str(collector.spans)


def test_a_callers_nonsense_begins_a_trace_of_its_own(tmp_path: Path, files: Path) -> None:
    with Collector(files) as collector:
        with Daemon(tmp_path / "data", *LOOPBACK, "--otel-endpoint", collector.url) as server:
            assert server.post(job(collector.url), headers={"traceparent": f"00-{'0' * 32}-x-01"}).status == 200
            wait_until(lambda: " settled " in server.log)
            assert server.stop() == 0
        assert not collector.named("intake").parent_span_id
        assert re.fullmatch(r"[0-9a-f]{32}", collector.named("intake").trace_id.hex())


def test_a_receiver_that_is_gone_stops_nobody(tmp_path: Path, files: Path) -> None:
    server = Daemon(tmp_path / "data", *LOOPBACK, "--otel-endpoint", "http://127.0.0.1:9")
    with Collector(files) as collector, server:
        assert server.post(job(collector.url)).status == 200
        wait_until(lambda: " settled " in server.log)
        assert server.stop(15) == 0


def test_without_an_endpoint_nothing_is_traced(tmp_path: Path, files: Path) -> None:
    with Collector(files) as collector:
        with Daemon(tmp_path / "data", *LOOPBACK) as server:
            server.post(job(collector.url), headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
            wait_until(lambda: " settled " in server.log)
            mapped = Path(f"/proc/{server.pid}/maps").read_text()
        assert collector.headers["GET /Ex.png"] == [""]
        assert not collector.spans
        assert "google/_upb" not in mapped  # protobuf's own library: nothing of OpenTelemetry was loaded


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_an_endpoint_that_is_no_url_is_refused(tmp_path: Path, how: str) -> None:
    flags = ("--otel-endpoint", "localhost:4318") if how == "flag" else ()
    variables = {} if flags else {"IMGSERVE_OTEL_ENDPOINT": "localhost:4318"}
    with pytest.raises(AssertionError, match=r"ended with 1.*\n.*expected a URL such as http://127\.0\.0\.1:4318"):
        Daemon(tmp_path / "data", *flags, environment=variables).start()


def test_without_the_extra_the_server_says_what_to_install(tmp_path: Path) -> None:
    """A module of that name that cannot be imported stands before the installed one."""
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not here', name='opentelemetry')\n")
    server = Daemon(
        tmp_path / "data", "--otel-endpoint", "http://127.0.0.1:4318", environment={"PYTHONPATH": str(tmp_path)}
    )
    with pytest.raises(AssertionError, match=r"ended with 1.*\n.*pip install '\.\[otel\]'"):
        server.start()
