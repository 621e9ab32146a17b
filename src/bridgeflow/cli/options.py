"""Options that several commands take, and the example below a command's help."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Debug", "Json", "Quiet", "Silent", "example"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Silent = Annotated[bool, typer.Option("--quiet", help="Print nothing where all is fine; the exit code says it.")]


def example(*lines: str) -> str:
    """Commands to copy, each on a line of its own below the help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
