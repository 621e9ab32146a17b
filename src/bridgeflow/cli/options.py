"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Debug", "Json"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
