"""How a command ends: exit codes, and errors as one line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from bridgeflow.cli.console import echo, echo_json, flush_streams, open_missing_streams, release_stream, was_lost
from bridgeflow.errors import BridgeflowError, MissingDependency, StoreError, printable

__all__ = ["BAD_INPUT", "BUG", "INTERRUPTED", "SYSTEM", "TERMINATED", "reporting_errors", "run_to_exit", "terminable"]

_LONGEST = 1_500
"""Characters of a message; what is longer is cut in its middle."""

BUG, BAD_INPUT, SYSTEM, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


class _Terminated(BaseException):
    """SIGTERM, on its way out through every `finally`."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM unwind like an interrupt, so that nothing half-written is left."""

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
        if (lost := was_lost()) is not None:
            raise lost
    except BaseException as error:
        verdict = _verdict(error, debug)
        if verdict is None:
            raise
        code, message = verdict
        _report(as_json, debug, message, error)
        if code in {INTERRUPTED, TERMINATED}:
            _end_if_busy(error, code)
        raise click.exceptions.Exit(code) from None


def run_to_exit(app: click.Command) -> None:
    """Run the command line to its exit code, whatever becomes of standard output and standard error."""
    open_missing_streams()
    try:
        code = app(prog_name="bridgeflow", standalone_mode=False)
        code = code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt) as error:
        code = INTERRUPTED
        _report(False, False, "interrupted", error)
    except SystemExit as exit:
        code = SYSTEM if exit.code == 1 else int(exit.code or 0)  # click ends with 1 where the reader closed the pipe
    except OSError as error:  # of help and usage: commands see to their own
        code = SYSTEM
        _report(False, False, _refusal(error), error)
    except click.exceptions.NoArgsIsHelpError as error:
        code = BAD_INPUT
        echo(error.format_message(), err=True)
    except click.ClickException as error:
        code = error.exit_code
        context = getattr(error, "ctx", None)
        where = "bridgeflow" if context is None else context.command_path
        _report(False, False, f"{error.format_message().rstrip('.')}; see {where} --help", error)
    if flush_streams() is not None and code == 0:
        code = SYSTEM
    sys.exit(code)


def _end_if_busy(error: BaseException, code: int) -> None:
    """End at once where work was left running: what is committed stays, the rest was never visible."""
    from bridgeflow.engines.background import WorkLeftRunning

    if isinstance(error.__cause__, WorkLeftRunning):
        flush_streams()
        os._exit(code)


def _verdict(error: BaseException, debug: bool) -> tuple[int, str] | None:
    """Exit code and message; `None` for an exit that was asked for."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; nothing half-written was left"
        case _Terminated():
            return TERMINATED, "terminated; nothing half-written was left"
        case MissingDependency() | StoreError():
            return SYSTEM, str(error)
        case BridgeflowError():
            return BAD_INPUT, str(error)
        case OSError():
            return SYSTEM, _refusal(error)
        case MemoryError():
            return SYSTEM, f"the system refused: memory is used up ({error})"
        case click.exceptions.Exit() | SystemExit() | GeneratorExit():
            return None
        case _:
            hint = "" if debug else "; run it again with --debug and report the traceback"
            return BUG, f"a bug in BridgeFlow: {type(error).__name__}: {error}{hint}"


def _refusal(error: OSError) -> str:
    return f"the system refused: {error}"


def _report(as_json: bool, debug: bool, message: str, error: BaseException) -> None:
    """Say what went wrong, where that can still be said: as JSON on standard output, else on standard error."""
    line = printable(" ".join(message.split()), _LONGEST)
    place = getattr(error, "location", None)
    facts = {name: getattr(place, name) for name in ("file", "line", "column") if place is not None}
    if place is None and isinstance(file := getattr(error, "file", None), str):
        facts = {"file": file}
    said = False
    if as_json:
        try:
            echo_json({"ok": False, "error": {"type": type(error).__name__, "message": line, **facts}})
            said = True
        except OSError:
            release_stream(sys.stdout)
    try:
        if debug:
            echo("".join(traceback.format_exception(error)).rstrip(), err=True)
        if not said and not isinstance(error, BrokenPipeError):  # the reader closed the pipe
            echo(f"bridgeflow: {line}", err=True)
    except OSError:
        release_stream(sys.stderr)
