"""The queue's own time: it neither jumps with the wall clock nor stands still while no server runs."""

import time

import pytest

from imgserve.clock import STEP_S, Clock, Mark, boot_id, elapsed_s

START = 1_700_000_000.0
HOUR = 3600.0


class Machine:
    """A machine's clocks, which the test turns."""

    def __init__(self, boot: str = "one") -> None:
        self.wall_s, self.boot_s, self.boot = START, 500.0, boot

    def pass_time(self, seconds: float) -> None:
        self.wall_s += seconds
        self.boot_s += seconds

    def reboot(self, off_s: float) -> None:
        self.wall_s += off_s
        self.boot_s, self.boot = 20.0, self.boot + "'"

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_s, lambda: self.boot_s, self.boot)


def test_a_new_clock_shows_the_wall_time_and_runs_with_it() -> None:
    machine = Machine()
    clock = machine.clock()
    assert clock() == START
    machine.pass_time(10)
    assert (clock(), clock.look(), clock.stepped_at) == (START + 10, 0.0, None)


@pytest.mark.parametrize("step_s", [5 * HOUR, -5 * HOUR, 73 * HOUR, -73 * HOUR, 2 * STEP_S, -2 * STEP_S])
def test_a_step_moves_nothing_and_is_told_once(step_s: float) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_s += step_s
    machine.pass_time(3)
    assert clock() == START + 3
    assert clock.look() == pytest.approx(step_s)
    assert clock.look() == 0.0
    assert clock.last_step_s == pytest.approx(step_s)
    assert clock.stepped_at == START + 3
    assert clock.wall_of(START) == pytest.approx(START + step_s)


def test_what_ntp_does_all_day_is_no_step() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(100):
        machine.wall_s += 0.1
        assert clock.look() == 0.0
    assert clock() == START


@pytest.mark.parametrize("step_s", [0.0, 5 * HOUR, -5 * HOUR, 73 * HOUR, -73 * HOUR])
def test_the_next_server_of_one_boot_goes_on_exactly(step_s: float) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.pass_time(60)
    machine.wall_s += step_s
    clock = machine.clock()
    assert clock.resume(mark) == pytest.approx(step_s)
    assert clock() == START + 60
    machine.pass_time(1)
    assert clock() == START + 61


@pytest.mark.parametrize(("off_s", "passed_s"), [(600.0, 600.0), (73 * HOUR, 73 * HOUR), (-5 * HOUR, 0.0)])
def test_across_boots_only_the_wall_clock_tells_and_never_that_time_went_back(off_s: float, passed_s: float) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.reboot(off_s)
    clock = machine.clock()
    step_s = clock.resume(mark)
    assert clock() == START + passed_s
    assert step_s == pytest.approx(off_s - passed_s)


def test_a_moment_shows_the_same_time_at_each_look() -> None:
    machine = Machine()
    clock = machine.clock()
    for step_s in (0.0, 0.000_002, -0.000_001, 0.000_003):  # between two readings of clocks
        machine.wall_s += step_s
        assert clock.wall_of(START) == START
    machine.wall_s += 0.1
    assert clock.wall_of(START) == pytest.approx(START + 0.1)


def test_a_time_ahead_of_the_wall_stays_ahead_over_many_servers() -> None:
    machine = Machine()
    machine.wall_s += 5 * HOUR  # the real-time clock was wrong at boot
    mark = machine.clock().mark()
    machine.wall_s -= 5 * HOUR
    for _ in range(3):
        machine.pass_time(10)
        clock = machine.clock()
        clock.resume(mark)
        mark = clock.mark()
    assert clock() == START + 5 * HOUR + 30
    assert clock.wall_of(clock()) == pytest.approx(START + 30)


def test_without_a_boot_id_the_wall_clock_tells() -> None:
    last, now = Mark(START, START, "", 100.0), Mark(0.0, START + 7, "", 150.0)
    assert elapsed_s(last, now) == 7.0


def test_a_boot_time_that_went_back_is_another_boot() -> None:
    assert elapsed_s(Mark(START, START, "a", 100.0), Mark(0.0, START + 7, "a", 50.0)) == 7.0


def test_this_machine_has_the_clocks() -> None:
    clock = Clock()
    assert abs(clock() - time.time()) < 60
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
