"""FTP servers as they are: sessions that die between two transfers, directories that go, names and renames that are
not allowed. Each test has a real server that does what it says, and looks at what lies in its directory afterwards.
"""

import asyncio
import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.ftp_receiver import FtpReceiver

from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, SourceUnavailable
from tests.support.certificates import Authority
from tests.support.transfers import LOOPBACK, Listener, deliver_bytes, destination, fetch_bytes, write
from tests.support.vsftpd import Vsftpd

PICTURE = b"picture" * 1000
Deal = Callable[[Any], None]


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK), Limits())
    yield made
    await made.aclose()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.fixture
def ftp(shelf: Path) -> Iterator[FtpReceiver]:
    with FtpReceiver(shelf) as receiver:
        yield receiver


def names(directory: Path) -> list[str]:
    """The files beneath it, as paths from there."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


class Commands:
    """What a server was sent; ``deal`` has ways to answer some of it in the server's place."""

    def __init__(self, receiver: FtpReceiver) -> None:
        self.seen: list[tuple[str, str]] = []
        self.deals: dict[str, Callable[[Any, str], bool]] = {}
        receiver.script = self._script

    def _script(self, session: Any, command: str, argument: str) -> bool:
        self.seen.append((command, argument))
        deal = self.deals.get(command)
        return deal is not None and deal(session, argument)

    def refuse(self, command: str, reply: str, is_meant: Callable[[str], bool] = lambda argument: True) -> None:
        def deal(session: Any, argument: str) -> bool:
            if is_meant(argument):
                session.respond(reply)
            return is_meant(argument)

        self.deals[command] = deal

    def count(self, command: str) -> int:
        return sum(one == command for one, _ in self.seen)


def hang_up(session: Any) -> None:
    session.close()


def reset(session: Any) -> None:
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.close()


def say_goodbye(session: Any) -> None:
    session.respond("421 Timeout.")
    session.close_when_done()


def say_goodbye_and_stay(session: Any) -> None:
    session.respond("421 Service not available.")


def say_nothing(_session: Any) -> None:
    """As behind a router that has forgotten the connection."""


def ask_for_a_login(session: Any) -> None:
    session.respond("530 Please login with USER and PASS.")


def dying(receiver: FtpReceiver, deal: Deal, at: str = "") -> Callable[[], None]:
    """The returned function ends all sessions there are by now: at their next command, or at the next ``at``."""
    living: set[Any] = set()
    doomed: set[Any] = set()

    def script(session: Any, command: str, _argument: str) -> bool:
        living.add(session)
        is_dealt_with = session in doomed and (not at or command == at)
        if is_dealt_with:
            deal(session)
        return is_dealt_with

    receiver.script = script
    return lambda: doomed.update(living)


DEATHS = pytest.mark.parametrize(
    "deal", [hang_up, reset, say_goodbye, say_goodbye_and_stay], ids=lambda deal: str(deal.__name__)
)


@DEATHS
@pytest.mark.parametrize("at", ["", "EPSV"])
async def test_a_session_that_died_between_two_deliveries_costs_none(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, deal: Deal, at: str
) -> None:
    kill_sessions = dying(ftp, deal, at)
    for number in range(3):
        place = destination("ftp", f"{ftp.url}/a/{number}.png")
        await deliver_bytes(transfers, place, PICTURE, write("placeholder", timeout_s=5.0))
        kill_sessions()
    assert names(shelf) == ["a/0.png", "a/1.png", "a/2.png"]
    assert {path.read_bytes() for path in (shelf / "a").iterdir()} == {PICTURE}
    assert ftp.connections == 3


@DEATHS
async def test_a_dead_session_costs_no_source_and_no_deletion(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, deal: Deal
) -> None:
    (shelf / "a.png").write_bytes(PICTURE)
    kill_sessions = dying(ftp, deal)
    for _ in range(2):
        assert await fetch_bytes(transfers, ftp.url + "/a.png") == PICTURE
        kill_sessions()
    await transfers.delete(destination("ftp", ftp.url + "/a.png"), write("failed", timeout_s=5.0))
    assert not names(shelf)
    assert ftp.connections == 3


async def test_sessions_that_fell_silent_leave_time_for_others(ftp: FtpReceiver, shelf: Path) -> None:
    """One for each verb, all at once."""
    transfers = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=5.0, max_per_host_ftp=3), Limits())
    again, there, gone = (destination("ftp", f"{ftp.url}/{name}.png") for name in ("again", "there", "gone"))

    async def deliver(*places: Destination) -> None:
        quick = [write("placeholder", token, timeout_s=5.0) for token in range(len(places))]
        await asyncio.gather(
            *(deliver_bytes(transfers, place, PICTURE, one) for place, one in zip(places, quick, strict=True))
        )

    kill_sessions = dying(ftp, say_nothing)
    await deliver(again, there, gone)
    assert ftp.connections == 3
    kill_sessions()
    fetched, *_ = await asyncio.gather(
        fetch_bytes(transfers, there.url),
        deliver(again),
        transfers.delete(gone, write("failed", timeout_s=5.0)),
    )
    assert fetched == PICTURE
    assert names(shelf) == ["again.png", "there.png"]
    assert ftp.connections == 6
    await transfers.aclose()


@pytest.mark.parametrize("command", ["EPSV", "STOR", "RNFR", "RNTO", "SIZE", "DELE"])
async def test_a_slow_reply_holds_up_nobody_else(transfers: Transfers, ftp: FtpReceiver, command: str) -> None:
    """The server answers when the event loop has had a turn."""
    is_asked, is_seen = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(session: Any, argument: str) -> bool:
        loop.call_soon_threadsafe(is_asked.set)
        is_late.append(not is_seen.wait(10))
        return False

    is_late: list[bool] = []
    Commands(ftp).deals[command] = wait
    writing = asyncio.create_task(
        deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write(token=1, timeout_s=30.0))
    )
    await is_asked.wait()
    is_seen.set()
    await writing
    assert is_late == [False] * len(is_late)


async def test_a_session_that_wants_a_login_again_gets_a_fresh_one(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    kill_sessions = dying(ftp, ask_for_a_login)
    for number in range(2):
        await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/a/{number}.png"), PICTURE, write())
        kill_sessions()
    assert len(list((shelf / "a").iterdir())) == 2


async def test_a_server_that_always_hangs_up_is_not_asked_for_ever(transfers: Transfers, ftp: FtpReceiver) -> None:
    def script(session: Any, _command: str, _argument: str) -> bool:
        hang_up(session)
        return True

    ftp.script = script
    with pytest.raises(DeliveryFailed) as caught:
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write())
    assert caught.value.is_retryable
    assert ftp.connections == 1


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_session_that_died_under_tls_costs_nothing(shelf: Path, tmp_path: Path, is_reset: bool) -> None:
    """A relay in front of vsftpd ends the connections, without TLS' own goodbye."""
    authority = Authority(tmp_path)
    transfers = Transfers(Config(allow_networks=LOOPBACK, ca_file=str(authority.ca_file)), Limits())
    pem = authority.server_file("127.0.0.1")
    with Vsftpd(shelf, tmp_path / "v", tls="explicit", certificate=pem) as server, Relay(server.port) as relay:
        for number in range(3):
            place = destination("ftp", f"ftpes://127.0.0.1:{relay.port}/a/{number}.png")
            await deliver_bytes(transfers, place, PICTURE, write("placeholder", timeout_s=5.0))
            relay.end_at_the_next_byte(is_reset=is_reset)
    await transfers.aclose()
    assert sorted(path.name for path in (shelf / "a").iterdir()) == ["0.png", "1.png", "2.png"]


class Relay:
    """Passes on what comes to ``port``; connections may be told to die when the client sends its next byte."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._doomed: dict[socket.socket, bool] = {}
        self._open: list[socket.socket] = []

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for peer in self._open:
            peer.close()

    def end_at_the_next_byte(self, *, is_reset: bool) -> None:
        self._doomed = dict.fromkeys(self._open, is_reset)

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open.append(client)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()
        except OSError:
            return

    def _pump(self, come: socket.socket, go: socket.socket) -> None:
        try:
            while data := come.recv(65_536):
                if come in self._doomed:
                    if self._doomed[come]:
                        come.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                go.sendall(data)
        except OSError:
            pass
        come.close()


async def test_a_directory_that_was_removed_is_made_anew(transfers: Transfers, ftp: FtpReceiver, shelf: Path) -> None:
    place = destination("ftp", ftp.url + "/2026/11/a.png")
    for gone in ("2026/11", "2026"):
        await deliver_bytes(transfers, place, PICTURE, write())
        shutil.rmtree(shelf / gone)
    await deliver_bytes(transfers, place, PICTURE, write())
    assert (shelf / "2026/11/a.png").read_bytes() == PICTURE
    assert ftp.connections == 1


@pytest.mark.parametrize("program", ["pyftpdlib", "vsftpd"])
async def test_a_directory_that_was_replaced_is_entered_anew(
    transfers: Transfers, shelf: Path, tmp_path: Path, program: str
) -> None:
    """A session stands in the old one, whatever its name is now: the picture would go where nobody looks for it."""
    server = FtpReceiver(shelf) if program == "pyftpdlib" else Vsftpd(shelf, tmp_path / "vsftpd")
    with server:
        for name in ("a.png", "b.png", "c.png"):
            await deliver_bytes(transfers, destination("ftp", f"{server.url}/new/{name}"), PICTURE, write())
            assert len(await fetch_bytes(transfers, f"{server.url}/new/{name}")) == len(PICTURE)
            assert sorted(path.name for path in (shelf / "new").iterdir()) == [name]
            (shelf / "new").rename(shelf / f"old-{name}")
            (shelf / "new").mkdir()
            with pytest.raises(SourceUnavailable):
                await fetch_bytes(transfers, f"{server.url}/new/{name}")


@pytest.mark.parametrize("depth", ["", "a/", "a/b/"])
async def test_a_login_directory_that_was_replaced_is_entered_anew(
    transfers: Transfers, shelf: Path, tmp_path: Path, depth: str
) -> None:
    with Vsftpd(shelf, tmp_path / "vsftpd") as server:
        for _ in range(3):
            await deliver_bytes(transfers, destination("ftp", f"{server.url}/{depth}a.png"), PICTURE, write())
            assert (shelf / depth / "a.png").read_bytes() == PICTURE
            shutil.rmtree(shelf)
            os.mkdir(shelf)


async def test_two_directories_are_told_apart_where_the_server_names_none(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    commands = Commands(ftp)
    commands.refuse("PWD", "502 Command not implemented.")
    for name in ("a/x.png", "b/x.png", "b/y.png", "z.png"):
        await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/{name}"), PICTURE, write())
    assert names(shelf) == [
        "a/x.png", "b/x.png", "b/y.png", "z.png",
    ]  # fmt: skip


@pytest.mark.parametrize("reply", ["550 File exists.", "521 Directory already exists.", "450 Busy."])
async def test_two_deliveries_at_once_make_one_directory(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, reply: str
) -> None:
    """The other made it between our CWD and our MKD."""
    commands = Commands(ftp)

    def too_late(session: Any, argument: str) -> bool:
        (shelf / "a" / "b").mkdir(parents=True, exist_ok=True)
        session.respond(reply)
        return True

    commands.deals["MKD"] = too_late
    await deliver_bytes(transfers, destination("ftp", ftp.url + "/a/b/x.png"), PICTURE, write("placeholder"))
    assert (shelf / "a/b/x.png").read_bytes() == PICTURE


async def test_many_deliveries_at_once_into_missing_directories(transfers: Transfers, ftp: FtpReceiver) -> None:
    commands = Commands(ftp)

    def slowly(session: Any, argument: str) -> bool:
        time.sleep(0.01)  # widens the gap between the CWD that failed and the MKD
        return False

    commands.deals["MKD"] = slowly
    places = [destination("ftp", f"{ftp.url}/r{n % 5}/s/{n}.png") for n in range(20)]
    await asyncio.gather(*(deliver_bytes(transfers, place, PICTURE, write("placeholder")) for place in places))


@pytest.mark.parametrize("verb", ["deliver", "fetch", "delete"])
async def test_a_parent_that_may_not_be_entered_is_passed_by(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, verb: str
) -> None:
    (shelf / "home" / "shop").mkdir(parents=True)
    (shelf / "home" / "shop" / "a.png").write_bytes(PICTURE)
    commands = Commands(ftp)
    commands.refuse("CWD", "550 Permission denied.", lambda argument: argument.strip("/") == "home")
    commands.refuse("MKD", "550 Permission denied.")
    url = f"{ftp.url}/home/shop/"
    for name in ("b.png", "c.png"):
        if verb == "deliver":
            await deliver_bytes(transfers, destination("ftp", url + name), PICTURE, write("placeholder"))
            assert (shelf / "home" / "shop" / name).read_bytes() == PICTURE
        elif verb == "fetch":
            assert len(await fetch_bytes(transfers, url + "a.png")) == len(PICTURE)
        else:
            await transfers.delete(destination("ftp", url + "a.png"), write("failed"))
            assert not (shelf / "home" / "shop" / "a.png").exists()
    assert sum(argument == "home" for command, argument in commands.seen if command == "CWD") <= 3, "it is remembered"


def is_hidden(name: str) -> bool:
    return name.startswith(".")


def is_temporary(name: str) -> bool:
    return "imgserve" in name


@pytest.mark.parametrize("reply", ["550 Illegal name.", "553 Could not create file.", "501 Invalid argument."])
async def test_a_server_without_hidden_names_gets_a_visible_one(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, reply: str
) -> None:
    commands = Commands(ftp)
    commands.refuse("STOR", reply, is_hidden)
    (shelf / "imgserve-o7-1.png").write_bytes(b"left behind")
    for token in (2, 3):
        place = destination("ftp", f"{ftp.url}/{token}.png")
        assert (await deliver_bytes(transfers, place, PICTURE, write(token=token))).is_verified
    assert names(shelf) == ["2.png", "3.png"]
    stored = [argument for command, argument in commands.seen if command == "STOR"]
    assert stored == [".imgserve-o7-2", "imgserve-o7-2.png", "imgserve-o7-3.png"], "it is remembered"
    assert commands.count("RNTO") == 2


async def test_a_visible_name_has_the_finals_extension(transfers: Transfers, ftp: FtpReceiver, shelf: Path) -> None:
    commands = Commands(ftp)
    commands.refuse("STOR", "553 Only pictures.", lambda name: not name.endswith((".JPG", "none")))
    for name in ("a.JPG", "none"):
        await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/{name}"), PICTURE, write())
    assert names(shelf) == ["a.JPG", "none"]


@pytest.mark.parametrize("command", ["RNFR", "RNTO"])
@pytest.mark.parametrize("reply", ["550 Permission denied.", "553 Not allowed.", "502 Not implemented.", "530 No."])
@pytest.mark.parametrize("state", ["placeholder", "final"])
async def test_a_server_that_allows_no_rename_gets_the_final_name(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, command: str, reply: str, state: str
) -> None:
    commands = Commands(ftp)
    commands.refuse(command, reply)
    (shelf / "a.png").write_bytes(b"old")
    for token in (1, 2):
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write(state, token))
        assert names(shelf) == ["a.png"]
        assert (shelf / "a.png").read_bytes() == PICTURE
    stored = [argument for verb, argument in commands.seen if verb == "STOR"]
    assert stored == [".imgserve-o7-1", "a.png", "a.png"], "it is remembered"


@pytest.mark.parametrize("is_onto_files", [True, False], ids=["where a file is in the way", "always"])
@pytest.mark.parametrize("state", ["placeholder", "final"])
async def test_a_rename_that_does_not_happen_is_seen(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, state: str, is_onto_files: bool
) -> None:
    commands = Commands(ftp)
    commands.refuse("RNTO", "250 Renamed.", lambda name: not is_onto_files or (shelf / name).exists())
    if is_onto_files:
        (shelf / "a.png").write_bytes(b"old")
    for token in (1, 2):
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write(state, token))
        assert names(shelf) == ["a.png"]
        assert (shelf / "a.png").read_bytes() == PICTURE
    stored = [argument for verb, argument in commands.seen if verb == "STOR"]
    assert stored == [".imgserve-o7-1", "a.png", "a.png"], "it is remembered"


async def test_a_server_that_only_says_that_it_renames_is_told_so(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    commands = Commands(ftp)
    commands.refuse("RNTO", "250 Renamed.")
    commands.refuse("STOR", "553 No.", lambda name: not is_temporary(name))
    with pytest.raises(DeliveryFailed, match=r"renamed.*says that it did.*final name .*553"):
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write())
    assert not names(shelf), "nothing is left behind"


async def test_names_and_renames_may_both_be_refused(transfers: Transfers, ftp: FtpReceiver, shelf: Path) -> None:
    commands = Commands(ftp)
    commands.refuse("STOR", "553 Only pictures.", is_hidden)
    commands.refuse("RNFR", "550 Permission denied.")
    await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write())
    assert names(shelf) == ["a.png"]


async def test_a_server_that_takes_the_final_name_alone_gets_it(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    Commands(ftp).refuse("STOR", "550 Unexpected name.", is_temporary)
    await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write())
    assert names(shelf) == ["a.png"]


@pytest.mark.parametrize(
    "more",
    [{"deny_file": "{.imgserve*}"}, {"cmds_denied": "RNFR"}, {"deny_file": "{.imgserve*}", "cmds_denied": "RNFR,DELE"}],
    ids=["hidden names", "renames", "both, and deletions"],
)
async def test_vsftpd_that_refuses_it(transfers: Transfers, shelf: Path, tmp_path: Path, more: dict[str, str]) -> None:
    with Vsftpd(shelf, tmp_path / "vsftpd", more=more) as server:
        for token in (1, 2):
            place = destination("ftp", f"{server.url}/a/b.png")
            assert (await deliver_bytes(transfers, place, PICTURE, write(token=token))).is_verified
    left = ["a/b.png", "a/imgserve-o7-1.png"] if "DELE" in more.get("cmds_denied", "") else ["a/b.png"]
    assert names(shelf) == left


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (("STOR",), "refuses to store the file .*550"),
        (("RNFR", "STOR"), "does not allow files to be renamed .*550.*final name .*550"),
        (("CWD", "MKD"), "directory .*550"),
    ],
)
async def test_the_sentence_says_what_is_not_allowed(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path, refused: tuple[str, ...], sentence: str
) -> None:
    commands = Commands(ftp)
    for command in refused:
        commands.refuse(command, "550 No.")
    if refused[0] == "RNFR":
        commands.refuse("STOR", "550 No.", lambda name: not is_temporary(name))
    with pytest.raises(DeliveryFailed, match=sentence) as caught:
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a/b.png"), PICTURE, write())
    assert not caught.value.is_retryable
    assert not names(shelf), "nothing is left behind"


async def test_a_refusal_that_time_heals_changes_no_ways(transfers: Transfers, ftp: FtpReceiver, shelf: Path) -> None:
    commands = Commands(ftp)
    commands.refuse("RNFR", "450 The file is being looked at.")
    with pytest.raises(DeliveryFailed) as caught:
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write(token=1))
    assert caught.value.is_retryable
    commands.deals.clear()
    await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write(token=2))
    assert [argument for verb, argument in commands.seen if verb == "STOR"] == [".imgserve-o7-1", ".imgserve-o7-2"]
    assert names(shelf) == ["a.png"]


async def test_a_server_that_knows_no_binary_type_gets_no_text(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    """libcurl takes the type for set, whatever the answer: over the same session the next file would go as text."""
    commands = Commands(ftp)
    commands.refuse("TYPE", "504 Command not implemented for that parameter.", lambda argument: argument == "I")
    picture = b"line\nline\r\n" * 9
    for number in range(3):
        with pytest.raises(DeliveryFailed):
            await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/{number}.png"), picture, write())
    assert names(shelf) == []
    del commands.deals["TYPE"]
    await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/a.png"), picture, write())
    assert (shelf / "a.png").read_bytes() == picture


async def test_what_one_login_may_not_another_may(transfers: Transfers, ftp: FtpReceiver) -> None:
    commands = Commands(ftp)

    def deal(session: Any, argument: str) -> bool:
        is_refused = session.username == "user" and is_hidden(argument)
        if is_refused:
            session.respond("553 No.")
        return is_refused

    commands.deals["STOR"] = deal
    ftp.add_user("other")
    for url in (ftp.url, ftp.url.replace("user:", "other:")):
        await deliver_bytes(transfers, destination("ftp", url + "/a.png"), PICTURE, write())
    stored = [argument for verb, argument in commands.seen if verb == "STOR"]
    assert stored == [".imgserve-o7-1", "imgserve-o7-1.png", ".imgserve-o7-1"]


async def test_a_wrong_size_is_tried_again_and_not_believed_for_ever(transfers: Transfers, ftp: FtpReceiver) -> None:
    commands = Commands(ftp)
    commands.refuse("SIZE", "213 0")
    place = destination("ftp", ftp.url + "/a.png")
    for token in (1, 2):
        with pytest.raises(DeliveryFailed, match="holds 0 bytes") as caught:
            await deliver_bytes(transfers, place, PICTURE, write(token=token))
        assert caught.value.is_retryable
    assert not (await deliver_bytes(transfers, place, PICTURE, write(token=3))).is_verified
    commands.refuse("SIZE", "213 17")
    other = destination("ftp", ftp.url + "/b.png")
    assert not (await deliver_bytes(transfers, other, PICTURE, write())).is_verified
    commands.deals.clear()
    assert (await deliver_bytes(transfers, other, PICTURE, write())).is_verified


async def test_sizes_that_differ_stay_a_fault(transfers: Transfers, ftp: FtpReceiver) -> None:
    commands = Commands(ftp)
    for told in ("1", "2", "1", "2", "1"):
        commands.refuse("SIZE", f"213 {told}")
        with pytest.raises(DeliveryFailed, match="bytes after a delivery"):
            await deliver_bytes(transfers, destination("ftp", ftp.url + "/a.png"), PICTURE, write())


@pytest.mark.parametrize("reply", ["213 ", "213 many", "213 " + "9" * 5000, "213 -1", "550 No."])
async def test_a_size_that_cannot_be_read_says_nothing(transfers: Transfers, ftp: FtpReceiver, reply: str) -> None:
    Commands(ftp).refuse("SIZE", reply)
    place = destination("ftp", ftp.url + "/a.png")
    assert not (await deliver_bytes(transfers, place, PICTURE, write())).is_verified


async def test_a_placeholder_is_not_refused_for_its_size(transfers: Transfers, ftp: FtpReceiver) -> None:
    Commands(ftp).refuse("SIZE", "213 0")
    place = destination("ftp", ftp.url + "/a.png")
    assert not (await deliver_bytes(transfers, place, PICTURE, write("placeholder"))).is_verified


async def test_a_deletion_takes_what_was_left_behind_with_it(
    transfers: Transfers, ftp: FtpReceiver, shelf: Path
) -> None:
    for name in ("a.png", ".imgserve-o7-1", "imgserve-o7-1.png", ".imgserve-o7-2"):
        (shelf / name).write_bytes(PICTURE)
    await transfers.delete(destination("ftp", ftp.url + "/a.png"), write("failed", token=2))
    assert not names(shelf)


async def test_a_refusal_that_time_heals_is_left_to_the_next_attempt(transfers: Transfers, ftp: FtpReceiver) -> None:
    place = destination("ftp", ftp.url + "/a.png")
    await deliver_bytes(transfers, place, PICTURE, write(token=1))
    ftp.busy_times = 1
    with pytest.raises(DeliveryFailed) as caught:
        await deliver_bytes(transfers, place, PICTURE, write(token=2))
    assert caught.value.is_retryable
    assert ftp.connections == 1


async def test_a_source_that_breaks_off_midway_is_not_fetched_again_behind_its_first_half(transfers: Transfers) -> None:
    """On a session that has served a whole file before, so that the session itself could be suspected."""
    served: list[int] = []

    def serve(peer: socket.socket) -> None:
        with socket.create_server(("127.0.0.1", 0)) as data, peer.makefile("r") as lines:
            replies = {"USER": "331 ok", "PASS": "230 ok", "PWD": '257 "/"', "SIZE": "502 no",
                       "RETR": "150 go", "EPSV": f"229 ok (|||{data.getsockname()[1]}|)"}  # fmt: skip
            peer.sendall(b"220 hello\r\n")
            for line in lines:
                verb = line.split()[0]
                peer.sendall(replies.get(verb, "200 ok").encode() + b"\r\n")
                if verb == "RETR":
                    is_cut = len(served) == 1
                    served.append(peer.fileno())
                    with data.accept()[0] as stream:
                        stream.sendall(PICTURE[: len(PICTURE) // 2] if is_cut else PICTURE)
                    peer.sendall(b"551 The disk fails.\r\n" if is_cut else b"226 done\r\n")
                    if is_cut or len(served) == 3:
                        return

    with Listener(serve) as server:
        url = f"ftp://user:s3cret@127.0.0.1:{server.port}/a.png"
        assert await fetch_bytes(transfers, url) == PICTURE
        with pytest.raises(SourceUnavailable) as caught:
            await fetch_bytes(transfers, url)
        assert server.connections == 1
        assert await fetch_bytes(transfers, url) == PICTURE
    assert "551" in caught.value.detail
    assert len(served) == 3
