"""How a command ends: exit codes, and errors as one line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from bridgeflow.cli.output import print_json
from bridgeflow.errors import BridgeflowError, MissingDependency

__all__ = ["BAD_INPUT", "BUG", "INTERRUPTED", "SYSTEM", "TERMINATED", "reporting_errors", "terminable"]

BUG, BAD_INPUT, SYSTEM, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


class _Terminated(BaseException):
    """SIGTERM, on its way out through every `finally`."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM unwind like an interrupt, so that nothing half-written stays behind."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def reporting_errors(as_json: bool, debug: bool) -> Iterator[None]:
    """Turn what goes wrong into one line and an exit code; the traceback only on request."""
    try:
        yield
    except BaseException as error:
        verdict = _verdict(error, debug)
        if verdict is None:
            raise
        if debug:
            traceback.print_exc()
        code, message = verdict
        _say_error(as_json, message, error)
        if code in {INTERRUPTED, TERMINATED}:
            _end_if_busy(error, code)
        raise typer.Exit(code) from None


def _end_if_busy(error: BaseException, code: int) -> None:
    """End at once where work goes on that nobody may wait for: what is committed stays, the rest was never visible."""
    from bridgeflow.engines.attended import was_left_running

    if was_left_running(error):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _verdict(error: BaseException, debug: bool) -> tuple[int, str] | None:
    """Exit code and message; `None` for what is no business of ours (an exit that somebody has decided on)."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; nothing half-written was left"
        case _Terminated():
            return TERMINATED, "terminated; nothing half-written was left"
        case MissingDependency():
            return SYSTEM, str(error)
        case BridgeflowError():
            return BAD_INPUT, str(error)
        case OSError():
            return SYSTEM, f"the system refused: {error}"
        case typer.Exit() | SystemExit() | GeneratorExit():
            return None
        case _:
            hint = "" if debug else "; run it again with --debug and report the traceback"
            return BUG, f"a bug in BridgeFlow: {type(error).__name__}: {error}{hint}"


def _say_error(as_json: bool, message: str, error: BaseException) -> None:
    from bridgeflow.io import printable

    line = printable(" ".join(message.split()))
    if as_json:
        facts = {name: getattr(error, name, None) for name in ("file", "line", "column")}
        known = {name: value for name, value in facts.items() if value is not None}
        print_json({"ok": False, "error": {"type": type(error).__name__, "message": line, **known}})
    else:
        typer.echo(f"bridgeflow: {line}", err=True)
