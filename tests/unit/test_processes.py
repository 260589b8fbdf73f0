"""The CPU that the benches read of a server and its workers."""

import subprocess
import sys

from bench.processes import Meter, children, cpu

# A child that nobody waits for uses a tenth of a second, and is killed when a line comes.
PARENT = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = os.fork()
while not child and time.process_time() < 0.1:
    pass
if not child:
    print("used", flush=True)
    time.sleep(60)
input()
os.kill(child, signal.SIGKILL)
while os.path.exists(f"/proc/{child}"):
    time.sleep(0.001)
print("ended", flush=True)
input()
"""


def test_a_process_that_has_ended_counts_as_it_was_read_last() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        meter = Meter(parent.pid)
        assert parent.stdout.readline() == "used\n"
        alive = meter.read()
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "ended\n"
        ended = meter.read()
        assert cpu(parent.pid).children_s == 0
        parent.stdin.write("\n")
    assert alive.children_s >= 0.09
    assert ended.children_s >= alive.children_s


def test_threads_that_end_while_they_are_read_have_no_children() -> None:
    """Of a process whose threads come and go all the time, and whose child is always found."""
    threads = "while True:\n    [threading.Thread(target=time.sleep, args=(0.001,)).start() for _ in range(20)]"
    reader = "[sys.executable, '-c', 'import sys; sys.stdin.read()']"
    child = f"import subprocess, sys, threading, time\nchild = subprocess.Popen({reader}, stdin=-1)\n"
    command = [sys.executable, "-c", f"{child}print(child.pid, flush=True)\n{threads}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert all(children(parent.pid) == [pid] for _ in range(700))
        finally:
            parent.kill()
