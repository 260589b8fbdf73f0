"""The ``imgserve`` command, as the script of that name and as ``python -m imgserve``: all of it is in ``cli``.

Whatever is imported here is there wherever Python is, so that a package that is missing can be named in a sentence.
"""

import sys

CHECK_FAULTS = 2


def main() -> int:
    try:
        from imgserve import cli

        return cli.main()
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "imgserve":
            raise  # a fault of our own
        sys.stderr.write(
            f"imgserve: the package {error.name.partition('.')[0]} is missing or broken ({error}): install imgserve "
            "anew, with make setup, or with pip into a virtual environment of its own\n"
        )
        return CHECK_FAULTS if sys.argv[1:2] == ["check"] else 1


if __name__ == "__main__":
    sys.exit(main())
