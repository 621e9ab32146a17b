"""An extension of griffe for the reference: doctests become blocks, and names that share a line get their own."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

SECTION = re.compile(r"(Args|Attributes):$")
SEVERAL = re.compile(r"(?P<indent> +)(?P<first>\w+)(?P<others>(?:, \w+)+): ")


def fenced(text: str) -> str:
    """A docstring with a fence around each doctest, which ends with the next empty line."""
    lines: list[str] = []
    indent: str | None = None
    for line in [*text.split("\n"), ""]:
        stripped = line.lstrip()
        if indent is None and stripped.startswith(">>> "):
            indent = line[: len(line) - len(stripped)]
            lines += ["", f"{indent}```pycon"]
        elif indent is not None and not stripped:
            lines.append(f"{indent}```")
            indent = None
        lines.append(line)
    return "\n".join(lines[:-1])


def one_name_a_line(text: str) -> str:
    """A docstring in which `rank, world_size: which share` has become a line for each of the two names."""
    lines: list[str] = []
    waiting: list[str] = []
    inside, depth = False, ""
    for line in [*text.split("\n"), ""]:
        if waiting and not line.startswith(f"{depth} "):  # the first name's description has ended
            lines, waiting = lines + waiting, []
        if SECTION.match(line.strip()):
            inside = True
        elif not line.strip():
            inside = False
        elif inside and (several := SEVERAL.match(line)):
            depth = several["indent"]
            waiting = [f"{depth}{name}: see `{several['first']}`." for name in several["others"].split(", ")[1:]]
            line = f"{depth}{several['first']}: {line[several.end() :]}"
        lines.append(line)
    return "\n".join(lines[:-1])


class Readable(Extension):
    """Applied to every object as it is read from its source."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring, where there is one."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(one_name_a_line(obj.docstring.value))
