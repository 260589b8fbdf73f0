"""The command line's parser: argparse, with faults of one sentence that names the word and its likely meaning.

``main`` builds the commands from it. Their subparsers are of this class too.
"""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

USAGE = 2


class Parser(argparse.ArgumentParser):
    def __init__(self, prog: str | None = None, **options: Any) -> None:
        # An error is raised, since argparse's own exit does not name the argument.
        super().__init__(prog, allow_abbrev=False, exit_on_error=False, **options)

    def error(self, message: str) -> NoReturn:
        name, _, command = self.prog.partition(" ")
        self.exit(USAGE, f"{self.prog}: {message} (usage: {f'{name} help {command}'.rstrip()})\n")

    def parse_args(self, args: Sequence[str], namespace: Any = None) -> Any:  # type: ignore[override]
        word = args[0].partition("=")[0] if args else ""
        if word.startswith("-") and word not in self._option_string_actions:  # the next word may be its value
            self._refuse(word)
        return super().parse_args(args, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but a command reports the words that it does not know itself."""
        try:
            flags, rest = super().parse_known_args(args, namespace)
        except argparse.ArgumentError as fault:
            name = (fault.argument_name or "").partition("/")[0]
            self.error(f"{name}: {fault.message}" if name else fault.message)
        if rest:
            self._refuse(rest[0])
        return flags, rest

    def named(self, words: Sequence[str]) -> "Parser":
        """The parser of a command, such as ``jobs list``; ends like any other fault when there is none."""
        parser = self
        for word in words:
            chosen = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
            if chosen is None:
                parser._refuse(word)
            parser._check_value(chosen, word)
            parser = chosen.choices[word]
        return parser

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        try:
            return super()._match_argument(action, arg_strings_pattern)
        except argparse.ArgumentError as fault:
            raise argparse.ArgumentError(action, "expected a value behind it") from fault

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        words = [str(word) for word in action.choices]
        listed = ", ".join(words)
        if isinstance(action, argparse._SubParsersAction):
            kind = "action" if " " in self.prog else "command"
            self.error(f"there is no {kind} {value!r}{meant(value, words) or f', expected one of {listed}'}")
        raise argparse.ArgumentError(action, f"expected one of {listed}, got {value!r}{meant(str(value), words)}")

    def _refuse(self, word: str) -> NoReturn:
        word = word.partition("=")[0]
        if not word.startswith("-"):
            self.error(f"{word!r} is one word too many")
        near = meant(word, (option for option in self._option_string_actions if option.startswith("--")))
        if " " in self.prog:
            self.error(f"there is no option {word}{near}")
        behind = f"; options of a command stand behind it, as in {self.prog} start {word}"
        self.error(f"there is no option {word} before the command{near or behind}")


def meant(word: str, known: Iterable[str]) -> str:
    """``, did you mean start?``, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]}?" if close else ""
