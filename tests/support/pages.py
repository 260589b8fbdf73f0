"""Reads the jobs off a page of the documentation, for the tests that parse them and the tests that run them."""

import re


def jobs_in(text: str, directory: str = "/home/me/imgserve") -> list[str]:
    """Every JSON job on the page; ``directory`` stands for the shell's $PWD."""
    shown = text.replace("'\"$PWD\"'", directory)
    return re.findall(r"(?:-d '|^)(\{\n.*?\})(?='|\n```)", shown, re.MULTILINE | re.DOTALL)


def commands_in(text: str) -> list[str]:
    """Every block of shell commands on the page, in order."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def programs_in(text: str) -> list[str]:
    """Every Python program on the page, in order."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def settings_in(text: str) -> list[str]:
    """Every piece of a settings file on the page, in order."""
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
