"""What the arguments of a class mean, from its docstring."""

from __future__ import annotations

import inspect
import re

__all__ = ["arguments_of", "meanings_of"]


def arguments_of(doc: str) -> dict[str, str]:
    """The arguments that a docstring explains, each in one line.

    >>> arguments_of("What.\\n\\n    Args:\\n        a, b: numbers,\\n            finite.\\n\\n    More.\\n")
    {'a': 'numbers, finite.', 'b': 'numbers, finite.'}
    """
    lines = _joined(inspect.cleandoc(doc).splitlines())
    arguments: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Args:") + 1 :] if "Args:" in lines else []:
        if line and not line.startswith(" "):
            break
        entry = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            arguments |= dict.fromkeys(names, entry[2].strip())
        elif line.strip():
            arguments |= {name: f"{arguments[name]} {line.strip()}" for name in names}
    return arguments


def _joined(lines: list[str]) -> list[str]:
    """The lines with lists of names that go over several of them in one."""
    joined: list[str] = []
    for line in lines:
        if joined and re.fullmatch(r" {4}\w+(, \w+)*,", joined[-1]):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    return joined


def meanings_of(cls: type) -> dict[str, str]:
    """The arguments of a class, those of its bases included, each explained in one line."""
    meanings: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        meanings |= arguments_of(one.__doc__ or "")
    return meanings
