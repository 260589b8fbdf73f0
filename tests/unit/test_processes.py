"""The CPU that the benches read of a server and its workers."""

import subprocess
import sys

from bench.processes import Meter, cpu

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
