"""The server as a daemon: it detaches, holds pid file, log file and port, and becomes another user.

Called by ``cli`` with settings; passes a listening socket to ``lifecycle.run``. Nothing here may start a thread or an
event loop before the last fork.
"""

import contextlib
import errno
import logging
import os
import pwd
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import msgspec

from imgserve.api.control_socket import StartedAs
from imgserve.api.http.listener import listen
from imgserve.errors import ImgserveError, cause_of, sentence_of, using
from imgserve.jobs.sqlite.breakage import storage_failing
from imgserve.server import ending, lifecycle, logfile, memory, readiness
from imgserve.server.lifecycle import CannotStart, Endpoint
from imgserve.server.logfile import LogFile
from imgserve.server.pidfile import Note, PidFile
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs

User = pwd.struct_passwd  # the server becomes it once it holds its port, log and pid file


def start(settings: Settings, *, is_foreground: bool) -> int:
    """Serve, in this process or in one of its own: then 0 means that the server listens.

    Returns in the starting process only: the serving one ends here. Raises ImgserveError, OSError.
    """
    memory.use_one_arena()
    user = _other_user(settings.user)
    if is_foreground:
        logs.start(settings.log_lines)
        try:
            status = _serve(settings, user, _foreground(settings), lambda url: _say_ready(settings, url), lambda: None)
        finally:
            logs.stop()
        return ending.leave(status)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()  # what the command has printed: the server would print it once more
    reader, writer = os.pipe()
    if first := _fork():
        os.close(writer)
        os.waitpid(first, 0)
        return _wait(reader, settings)
    os.setsid()
    try:
        if _fork():
            os._exit(0)
    except CannotStart as error:
        os.write(writer, error.sentence().encode())
        os._exit(1)
    os.close(reader)
    return ending.leave(_detached(settings, user, writer))


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        hint = "raise the limit of processes (ulimit -u), or free memory"
        raise CannotStart(f"no process can be made for the server: {cause_of(error)[0]}", hint) from error


def _inherited() -> list[int]:
    """Descriptors of the program that has called the command, beside the standard streams."""
    inherited = []
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - names are all that is wanted
        with contextlib.suppress(OSError):  # that of the listing is closed by now
            if descriptor > 2 and os.get_inheritable(descriptor):  # which Python's own are not (PEP 446)
                inherited.append(descriptor)
    return inherited


def _detached(settings: Settings, user: User | None, writer: int) -> int:
    """Runs in the last child. The starting command waits for one message on ``writer``: + and the URL, or an error."""
    inherited = _inherited()
    with contextlib.ExitStack() as held, os.fdopen(writer, "w") as answer:
        try:
            pid_file = _take_pid_file(settings, user)
            held.callback(pid_file.release)
            note = Note(data_dir=str(settings.data_dir.absolute()))
            with using(f"the pid file {settings.pid_file}", "--pid-file"):
                pid_file.write(note)
            log = _open_log(settings, user)
            held.callback(logs.stop)  # before the pid file is released, which ends the waiting of ``stop``

            if log.is_shared:
                hint = "give each its own --log-file, or their lines cannot be told apart"
                logs.event("log_shared", level=logs.WARNING, detail="another server writes to this log", hint=hint)

            def listening(url: str) -> None:
                pid_file.write(msgspec.structs.replace(note, url=url))
                logs.event("listening", version=version("imgserve"), url=url, pid=os.getpid())
                # Not before, since a setting may name one, such as /dev/fd/3. Kept open, a pipe's reader would wait for
                # the end of the server, and a lock of the caller's script would be held as long.
                for descriptor in inherited:
                    os.close(descriptor)
                try:
                    answer.write(f"+{url} (pid {os.getpid()}, log {settings.log.file})")
                    answer.close()
                except BrokenPipeError as error:
                    raise CannotStart(
                        "the command that started it was ended before it listened", "start it again"
                    ) from error

            return _serve(settings, user, "daemon", listening, log.reopen)
        except (ImgserveError, OSError) as error:
            if answer.closed:
                logs.event("ended_by_fault", level=logging.ERROR, detail=sentence_of(error))
            else:
                with contextlib.suppress(BrokenPipeError):  # the starting command was ended: nobody asks
                    answer.write(sentence_of(error))
                    answer.close()
            return 1


def _take_pid_file(settings: Settings, user: User | None) -> PidFile:
    _make_data_dir(settings.data_dir, user)  # the pid file may stand in it
    _check_owner(settings.data_dir)
    with using(f"the pid file {settings.pid_file}", "--pid-file"):
        settings.pid_file.parent.mkdir(parents=True, exist_ok=True)
        return PidFile.take(settings.pid_file)


def _open_log(settings: Settings, user: User | None) -> LogFile:
    """Make stdin empty, and stdout and stderr the log."""
    os.chdir("/")
    with using(f"the log {settings.log.file}", "--log-file"):
        logfile.prepare(Path(settings.log.file), (user.pw_uid, user.pw_gid) if user else None)
        log = LogFile(settings.log)
    logs.start(settings.log_lines, log.write)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return log


def _wait(reader: int, settings: Settings) -> int:
    with os.fdopen(reader) as answer:
        text = answer.read()
    if not text:
        raise CannotStart("the server ended before it listened", f"its log says why: {settings.log.file}")
    if not text.startswith("+"):
        raise CannotStart(text)
    _say(sys.stdout, text[1:])
    return 0


def _foreground(settings: Settings) -> StartedAs:
    if settings.notify_socket:
        return "systemd"
    return "container" if os.getpid() == 1 else "foreground"


def _serve(
    settings: Settings,
    user: User | None,
    started_as: StartedAs,
    on_listening: Callable[[str], None],
    on_hangup: Callable[[], None],
) -> int:
    _make_data_dir(settings.data_dir, user)
    with listen(settings.api) as listener:
        certificate, keys = settings.api.certificate(), settings.api.keys()  # now: they may be root's alone
        if user is not None:
            _become(user)
        return lifecycle.run(settings, Endpoint(listener, certificate, keys, started_as, on_listening, on_hangup))


def _make_data_dir(path: Path, user: User | None) -> None:
    with using(f"the data directory {path}", "--data-dir"):
        if os.path.lexists(path):
            path.stat()  # it may be a link that leads nowhere
            if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir would hide other errors
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return
        path.mkdir(mode=0o700, parents=True)
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)


def _check_owner(data_dir: Path) -> None:
    """Name the directory's owner as the cause before the first file in it fails. Raises StorageFailing."""
    if os.path.isdir(data_dir) and not os.access(data_dir, os.W_OK | os.X_OK):  # noqa: PTH112 - Path.is_dir raises
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        what = f"the data directory {data_dir} cannot be used"
        raise storage_failing(denied, what, data_dir / "lock", is_start=True)


def _other_user(name: str) -> User | None:
    """None: the server keeps its user. Raises CannotStart."""
    if not name:
        return None
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise CannotStart(f"--user: there is no user {name!r}", "make that user (useradd), or name another") from error
    if user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise CannotStart(f"--user: only root can become {name!r}", "start it as root, or as that user without --user")
    return user


def _become(user: User) -> None:
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    for needed in (sys.executable, __file__):
        if not os.access(needed, os.R_OK):
            raise CannotStart(f"the user {user.pw_name} cannot read {needed}", "install imgserve where that user can")


def _say_ready(settings: Settings, url: str) -> None:
    _say(sys.stderr, url)
    with using(f"the socket {settings.notify_socket} of NOTIFY_SOCKET"):
        readiness.tell(settings.notify_socket, "READY=1")


def _say(stream: TextIO, where: str) -> None:
    """Does not fail: the stream may lead to a full disk."""
    with contextlib.suppress(OSError):
        stream.write(f"imgserve {version('imgserve')} listening on {where}\n")
        stream.flush()
