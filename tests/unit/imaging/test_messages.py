"""What a person reads who has mistyped something: the thing, what was expected, what was meant."""

from pathlib import Path

import pytest

from imgserve.cli.main import main
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import sentence_of
from imgserve.request.faults import RequestInvalid
from imgserve.request.json_text import ParseError
from tests.unit.settings.test_settings import faults


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(words))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1, told.err
    return told.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("strat", "imgserve: there is no command 'strat', did you mean start?"),
        ("jobs lst", "imgserve jobs: there is no action 'lst', did you mean list?"),
        ("help strat", "imgserve: there is no command 'strat', did you mean start?"),
        ("help jobs lst", "imgserve jobs: there is no action 'lst', did you mean list?"),
        ("help jobs list more", "imgserve jobs list: 'more' is one word too many"),
        ("start --prot 8602", "imgserve start: there is no option --prot, did you mean --port?"),
        ("start --prot=8602", "imgserve start: there is no option --prot, did you mean --port?"),
        ("start --read_root /", "imgserve start: there is no option --read_root, did you mean --read-root?"),
        ("check --jsn", "imgserve check: there is no option --jsn, did you mean --json?"),
        ("jobs list --sttus failed", "imgserve jobs list: there is no option --sttus, did you mean --status?"),
        ("start --port", "imgserve start: --port: expected a value behind it"),
        ("stop now", "imgserve stop: 'now' is one word too many"),
        ("jobs", "imgserve jobs: the following arguments are required: ACTION"),
        ("render a.png", "imgserve render: the following arguments are required: DST"),
        ("render a b --width wide", "imgserve render: --width: expected a number, got 'wide'"),
        ("jobs list --status fail", "imgserve jobs list: --status: expected one of accepting, queued, running,"),
        ("jobs show a/b", "imgserve jobs show: ID: expected a job's id, or how it begins, got 'a/b'"),
        ("jobs retry " + "x" * 99, "imgserve jobs retry: ID: expected a job's id, or how it begins, got a text of 99"),
        ("completion bsh", "SHELL: expected one of bash, zsh, fish, got 'bsh', did you mean bash?"),
        ("--port 3 start", "imgserve: there is no option --port before the command; options of a command stand behind"),
        ("--vresion", "imgserve: there is no option --vresion before the command, did you mean --version?"),
        ("nothing", "there is no command 'nothing', expected one of start, stop,"),
    ],
)
def test_a_mistyped_command(capsys: pytest.CaptureFixture[str], words: str, sentence: str) -> None:
    told = said(capsys, *words.split())
    assert sentence in told
    assert "(usage: imgserve help" in told


def test_an_empty_id_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """As a script's variable that nothing has set."""
    for action in ("show", "retry", "cancel"):
        assert f"jobs {action}: ID: expected a job's id, or how it begins, got ''" in said(capsys, "jobs", action, "")


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('port = "8602"', 'from 0 to 65,535, got the text "8602" (write port = 8602)'),
        ('render_timeout_s = "3.5"', 'got the text "3.5" (write render_timeout_s = 3.5)'),
        ('port = "many"', 'got the text "many"'),
        ("host = 127", 'expected a text, got 127 (write host = "127")'),
        ('write_root = "/tmp"', '(write write_root = ["/tmp"])'),
        ("write_root = 5", '(write write_root = ["5"])'),
        ("workers = inf", "expected a whole number from 1 to 1,024, got inf"),
        ("PORT = 1", "PORT: there is no such setting (did you mean port?)"),
        ("port = 1\nport = 2", "each key stands once"),
        ("[server]\nport = 1", "server: there is no such table (settings stand above all tables"),
        ("[[server]]\nport = 1", "server: there is no such table (settings stand above all tables"),
        ("server.port = 1", "server: there is no such table (settings stand above all tables"),
        ("read-root = []", "read-root: there is no such setting (did you mean read_root?)"),
        ("port = 86 02", "is not TOML: "),
        ("port = 2026-01-01", "from 0 to 65,535, got 2026-01-01"),
        ("drain_s = 12:00:00", "expected a number from 0, got 12:00:00"),
        ("drain_s = 2026-01-01T12:00:00Z", "expected a number from 0, got 2026-01-01 12:00:00+00:00"),
        ("ports = [80, 443]", 'got [80,443] (write ports = ["80","443"])'),
        ('ports = [80, "443"]', '(write ports = ["80","443"])'),
        ('host = ""', 'expected a text, got the text "" (leave it out)'),
        ('read_root = ["/", ""]', 'got ["/",""] (leave it out)'),
        ("workers = 100_000", "expected a whole number from 1 to 1,024, got 100000"),
    ],
)  # fmt: skip
def test_a_mistyped_setting(tmp_path: Path, toml: str, sentence: str) -> None:
    told = faults(config=toml, tmp_path=tmp_path)
    assert any(sentence in fault for fault in told), told


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("IMGSERVE_WORKER", "2", "IMGSERVE_WORKER: there is no such setting (did you mean IMGSERVE_WORKERS?)"),
        ("IMGSERVE_LOGLEVEL", "info", "IMGSERVE_LOGLEVEL: there is no such setting (did you mean IMGSERVE_LOG_LEVEL?)"),
        ("IMGSERVE_FOO", "1", "IMGSERVE_FOO: there is no such setting"),
        ("IMGSERVE_WORKERS", " 2", 'expected a whole number from 1 to 1,024, got the text " 2"'),
    ],
)
def test_a_mistyped_variable(tmp_path: Path, variable: str, value: str, sentence: str) -> None:
    (fault,) = faults(tmp_path=tmp_path, **{variable: value})
    assert fault.endswith(sentence)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is empty, expected a JSON object"),
        (b" \n", "the body is empty, expected a JSON object"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6: expecting ':' delimiter"),
        (b'{"a": 1,\n "b": 2', "line 2, column 8: expecting ',' delimiter, but the body ends"),
        (b"{'a': 1}", "line 1, column 2: expecting property name enclosed in double quotes"),
        (b'{"a": "b', "line 1, column 7: unterminated string starting"),
        (b'{"a": 1} x', "line 1, column 10: extra data"),
        (b'{"a": \xff}', "not UTF-8 (byte 7)"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark, expected JSON without one"),
        (b"[1]", "the body is a list, expected a JSON object"),
        (b'"text"', "the body is a text, expected a JSON object"),
        (b"3", "the body is a number, expected a JSON object"),
        (b"null", "the body is null, expected a JSON object"),
        (b'{"srcURL": 1, "srcURL": 2}', 'the key "srcURL" appears twice'),
        (b'{"s3cret:/": 1, "s3cret:/": 2}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[" * 10_000, "nested too deeply"),
        (b"[" * 100_000, "too many values, expected at most 20,000"),
    ],
)
def test_broken_json_is_told_with_its_place(body: bytes, sentence: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(body)
    assert sentence in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ('"srcurl": "file:///r/a.png"', 'srcurl: unknown, did you mean "srcURL"?'),
        ('"operationType": "RESIZE"', 'did you mean "resize"?'),
        ('"args": {"width": 3, "enlarge": "false"}', 'got "false"; write it without quotes: false'),
        ('"args": {"width": 3, "format": "JPEG"}', 'did you mean "jpeg"?'),
        ('"args": {"width": 3, "fieldname": "f"}', 'args.fieldname: unknown, did you mean "field_name"?'),
        ('"args": {"width": 3, "on_failure": "delete"}', "args.on_failure: stands beside args, not in it"),
    ],
)
def test_a_mistyped_field_of_a_job(field: str, sentence: str) -> None:
    right = '"operationType": "resize", "srcURL": "file:///r/a.png", "dstURL": "file:///o/a", "args": {"width": 3}'
    name = field.partition(":")[0]
    parts = [part for part in right.split(", ") if not part.startswith(name)]
    with pytest.raises(RequestInvalid) as caught:
        parse(f"{{{', '.join([*parts, field])}}}".encode())
    assert sentence in sentence_of(caught.value)
