"""``make bench``: its URLs for other servers, its arithmetic, its table and its plot."""

import asyncio
import io
import platform
import tarfile
from xml.etree import ElementTree

import pytest
from bench import client
from bench.servers import asked, photographs, plot, table
from bench.servers.cells import CELLS, Cell
from bench.servers.figures import CellFigures, Load, Quality, Row, Run, cpu_ratios, ratios
from bench.servers.machine import build_of, machine

BOX, CUT = (next(cell for cell in CELLS if cell.name == name) for name in ("jpeg", "thumb"))
SOURCE = "http://127.0.0.1:80/a-0/1.jpg"
ENCODED = "http%3A%2F%2F127.0.0.1%3A80%2Fa-0%2F1.jpg"


@pytest.mark.parametrize(
    ("cell", "template", "target"),
    [
        (BOX, "/_/rs:{fit=fit|fill}:{width}:{height}/q:{quality}/plain/{source}@{extension}",
         f"/_/rs:fit:512:512/q:80/plain/{ENCODED}@jpg"),
        (CUT, "/_/rs:{fit=fit|fill}:{width}:{height}/plain/{plain_source}", f"/_/rs:fill:200:120/plain/{SOURCE}"),
        (BOX, "/unsafe/{fit=fit-in/|}{width}x{height}/filters:format({format})/{source}",
         f"/unsafe/fit-in/512x512/filters:format(jpeg)/{ENCODED}"),
        (CUT, "/unsafe/{fit=fit-in/|}{width}x{height}/x", "/unsafe/200x120/x"),
    ],
)  # fmt: skip
def test_a_template_names_the_picture(cell: Cell, template: str, target: str) -> None:
    assert asked.template(template, cell, SOURCE).target == target


def test_a_template_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        asked.template("/{colour}/{source}", BOX, SOURCE)


def test_a_result_that_fits_keeps_its_shape() -> None:
    assert BOX.size_of(2040, 1275) == (512, 320)
    assert CUT.size_of(1632, 1224) == (200, 120)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        (b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
async def test_the_client_reads_an_answer_in_any_pieces(text: bytes, body: bytes, step: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + text

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for at in range(0, len(answer), step):
            writer.write(answer[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await client.connect(f"http://127.0.0.1:{port}")
        assert await connection.get("/") == client.Reply(200, body)
        connection.close()


def test_the_largest_of_each_photograph_is_taken() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, size in (("w/Kite/400.jpg", 4), ("w/Kite/2560.jpg", 9), ("w/Kite/9.png", 99), ("n/Wood.jpg", 5),
                           ("n/Fire.jpg", 7)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = size
            archive.addfile(entry, io.BytesIO(b"x" * size))
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        largest = photographs._largest(archive, ["Kite", "Wood"])
    assert {title: entry.name for title, entry in largest.items()} == {"Kite": "w/Kite/2560.jpg", "Wood": "n/Wood.jpg"}


def load(number: int, pictures: int, clients: int = 16) -> Load:
    return Load(number, clients, pictures, 2.0, 5.0 + number, 100.0 + number, [float(pictures), 90.0])


RUN = Run(
    "1 May", "2 cores", "photographs", [2, 16], 2, 2.0, {"sharp": "1.2", "a & b": ""}, {"sharp": 40.0},
    [
        CellFigures("jpeg", "12 sources", [
            Row("sharp", [load(0, 100), load(1, 50), load(1, 10, 2)], Quality([70.0, 80.0], [1000, 3000]), 60.0),
            Row("a & b", [load(0, 150), load(1, 100), load(0, 10, 2)]),
            Row("c", refusal="answers 415"),
        ])
    ],
)  # fmt: skip


def test_a_ratio_is_made_within_a_round() -> None:
    sharp, other, _ = RUN.cells[0].rows
    assert ratios(other, sharp, 16) == [1.5, 2.0]
    assert ratios(other, sharp, 2) == []
    assert ratios(other, Row("dead", [load(0, 0), load(1, 50)]), 16) == [2.0]
    assert cpu_ratios(other, sharp, 16) == [1.0, 1.0]


def test_the_table_has_a_row_for_each_server_and_says_who_is_missing() -> None:
    text = table.markdown(RUN)
    assert "| a & b | 1.75 | 1.75 |" in text
    assert (
        "| sharp | 38 (25-50) | 1.00 (1.00-1.00) | 5.5 | 90, 90 | 90, 100 | 75.0, 70.0 | 2.0 | 40 | 101 | 60 |" in text
    )
    assert "c: answers 415" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| sharp | 38") or "CPU ms" in line}
    assert len(widths) == 1


def test_the_plot_is_wellformed_and_its_bars_are_as_long_as_the_ratios() -> None:
    tree = ElementTree.fromstring(plot.svg(RUN))
    bars = [float(bar.get("width", "")) for bar in tree.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert len(bars) == 2
    assert bars[1] / bars[0] == pytest.approx(1.75, rel=0.01)


@pytest.mark.parametrize(
    ("configured", "prefix", "words"),
    [
        ("'--enable-shared' '--enable-optimizations' '--with-lto'", "/usr/local", "built with optimizations"),
        ("'--enable-shared' '--prefix=/usr' 'CFLAGS=-g'", "/usr", "of the distribution"),
        ("'--prefix=/root/versions/3.13.0' '--enable-shared'", "/root/versions/3.13.0", "built without optimizations"),
        ("", "/opt/python", "built without optimizations"),
    ],
)
def test_the_table_says_how_the_interpreter_was_built(configured: str, prefix: str, words: str) -> None:
    assert build_of(configured, prefix) == words
    assert f"Python {platform.python_version()} " in machine()
