"""A child interpreter in which the k-th call that changes the disk goes wrong: the process dies, or the call fails.

The calls of a run are counted: every write to an output file, and every `os.open` that creates, `ftruncate`, `fsync`,
`link`, `replace`, `unlink`, `mkdir`, `rmdir`. A job on one thread makes the same calls in the same order each time, so
that "the k-th" means the same call in every run. The library knows nothing of this.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

WRITES = ("write", "fsync")
"""Calls that a full or broken disk makes fail."""


class Fault(NamedTuple):
    """What goes wrong: `"kill"`, or the name of an `errno`; at which call, counted from 1; among which calls (all where
    empty); and whether all calls after it fail too.
    """

    what: str
    at: int
    among: tuple[str, ...] = ()
    stays: bool = False


class Shim:
    """Counts calls, and lets one go wrong."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.seen: list[str] = []

    def install(self) -> None:
        """Stand in front of the calls, in this process."""
        for name in ("ftruncate", "fsync", "link", "replace", "unlink", "mkdir", "rmdir"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        opened, fdopened = os.open, os.fdopen

        def open_(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                self.before("open")
            return opened(path, flags, *args, **options)

        def fdopen(descriptor: int, mode: str = "r", *args: Any, **options: Any) -> Any:
            if "+" not in mode and "w" not in mode:
                return fdopened(descriptor, mode, *args, **options)
            raw = _Raw(descriptor, "r+b")
            raw.shim = self
            return raw if options.get("buffering") == 0 else io.BufferedRandom(raw)

        os.open, os.fdopen = open_, fdopen  # type: ignore[assignment]

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.before(name)
            return call(*args, **options)

        return counted

    def before(self, name: str, half: Callable[[], object] | None = None) -> None:
        """Count a call; where it is the one, do half of it and die, or fail."""
        if self.fault is not None and self.fault.among and name not in self.fault.among:
            return
        self.seen.append(name)
        if self.fault is None:
            return
        here = len(self.seen)
        if here != self.fault.at and not (self.fault.stays and here > self.fault.at):
            return
        if self.fault.what == "kill":
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        if half is not None and here == self.fault.at:
            half()
        number = getattr(errno, self.fault.what)
        raise OSError(number, os.strerror(number))


class _Raw(io.FileIO):
    """An output file whose writes are counted, and torn where they go wrong."""

    shim: Shim

    def write(self, data: Any, /) -> int:
        """Write, or half of it."""
        view = memoryview(data).cast("B")
        self.shim.before("write", lambda: super(_Raw, self).write(view[: len(view) // 2]))
        return super().write(data)


def run(arguments: list[str], fault: Fault | None, report: str | None = None) -> None:
    """The command line under a shim; the calls that were seen go to `report`. Does not return."""
    from bridgeflow import cli

    shim = Shim(fault)
    shim.install()
    sys.argv = ["bridgeflow", *arguments]
    try:
        cli.main()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(bool(exit_.code))
    if report is not None:
        with open(report, "w") as file:
            json.dump(shim.seen, file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Runs on request, each in a fork of this process, which has imported everything and started nothing.

    A line of JSON on standard input asks for a run (`arguments`, `fault`, `report`); one on standard output gives its
    exit status, negative for a signal, and what it said on standard error.
    """
    import importlib

    for module in ("bridgeflow.cli.app", "bridgeflow.config.load", "bridgeflow.engines.shards",
                   "bridgeflow.io.formats.arrow_ipc", "bridgeflow.io.formats.parquet", "scipy.signal"):  # fmt: skip
        importlib.import_module(module)
    for package in ("bridgeflow", "bridgeflow.io", "bridgeflow.pipeline", "bridgeflow.signal", "bridgeflow.transforms"):
        for name in importlib.import_module(package).__all__:
            getattr(importlib.import_module(package), name)
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.close(reading)
            fault = asked["fault"] and Fault(
                asked["fault"][0], asked["fault"][1], tuple(asked["fault"][2]), asked["fault"][3]
            )
            try:
                run(asked["arguments"], fault or None, asked["report"])
            finally:
                os._exit(99)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            said = file.read().decode(errors="replace")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status, "said": said}), flush=True)


if __name__ == "__main__":
    serve()
