"""An extension of griffe for the reference: doctests of a docstring become blocks of code."""

from __future__ import annotations

from typing import Any

from griffe import Extension


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


class Doctests(Extension):
    """Applied to every object as it is read from its source."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Put fences into the docstring, where there is one."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
