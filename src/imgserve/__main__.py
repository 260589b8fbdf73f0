"""The ``imgserve`` command, as the script of that name and as ``python -m imgserve``: all of it is in ``cli``.

Imports only the standard library, so that one sentence can name a missing package.
"""

import os
import sys

CHECK_FAULTS = 2


def main() -> int:
    fill_standard_streams()
    try:
        from imgserve.cli import main as cli

        return cli.main()
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "imgserve":
            raise  # a fault of our own
        sys.stderr.write(
            f"imgserve: the package {error.name.partition('.')[0]} is missing or broken ({error}): install imgserve "
            "anew, with make setup, or with pip into a virtual environment of its own\n"
        )
        return CHECK_FAULTS if sys.argv[1:2] == ["check"] else 1


def fill_standard_streams() -> None:
    """Open /dev/null as each of descriptors 0 to 2 that is closed. Else the next file or socket would get that number,
    and output to stderr would go into it. Called before everything else, since imports may open files that stay open.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # as Python leaves them
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open


if __name__ == "__main__":
    sys.exit(main())
