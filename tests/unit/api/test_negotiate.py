"""The Accept header: how much of a hostile one is read. The usual ones are in ``service/test_on_demand.py``."""

import time

from imgserve.api.negotiate import read_accept

USUAL = b"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def cpu_s(*values: bytes) -> float:
    """The shortest of several times, in seconds."""
    spent = []
    for _ in range(20):
        began_s = time.thread_time()
        read_accept(values)
        spent.append(time.thread_time() - began_s)
    return min(spent)


def test_so_many_ranges_are_read() -> None:
    others = [b"image/x%d" % number for number in range(63)]
    assert read_accept([b",".join([*others, b"image/png;q=0.5"])]).named == {"png": 0.5}
    assert read_accept([*others, b"image/png"]).named == {"png": 1.0}
    assert read_accept([b",".join([*others, b"image/gif", b"image/png"])]).named == {"gif": 1.0}
    assert read_accept([*others, b"image/gif", b"image/png"]).named == {"gif": 1.0}


def test_so_many_parameters_are_read() -> None:
    assert read_accept([b"image/png" + b";a=b" * 6 + b";q=0.5"]).named == {"png": 0.5}
    assert read_accept([b"image/png" + b";a=b" * 7 + b";q=0.5"]).named == {"png": 1.0}


def test_a_long_header_costs_little() -> None:
    twin_s = cpu_s(b",".join([USUAL] * 16))  # about 100 ranges
    assert cpu_s(b",".join(b"image/x%d;q=0.5" % number for number in range(3_000))) < 5 * twin_s
    assert cpu_s(b"image/webp" + b";" * 60_000) < 5 * twin_s
    assert cpu_s(b"," * 60_000) < 5 * twin_s
