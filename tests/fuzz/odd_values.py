"""Jobs with one odd number each, run in child processes: what became of them.

As a script it is such a child: it reads stages from its standard input, one JSON value a line, checks and runs each as
a job on a short recording, and prints for each line what `check` and `run` ended with.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SAMPLES = 500
MOST_MEMORY = 2 << 30
MOST_SECONDS = 120.0

VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 501, 1 << 20, (1 << 31) - 1, 1 << 62, 1 << 63, -(1 << 62), 10**400,
    0.5, 1e-9, 1e9, 1e308, -1e308, 5e-324, 1e-300, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip


class Ended(NamedTuple):
    """How `check` and `run` ended: exit codes, or why there is none; and the last line that was said."""

    stage: Any
    check: int | str
    run: int | str
    said: str

    @property
    def is_well(self) -> bool:
        """Done, or refused as input."""
        return self.check in (0, 2) and self.run in (0, 2)


def outcomes(stages: Iterable[Any]) -> Iterator[Ended]:
    """What became of each; a child that died or hung is replaced, and the stage that it was at is told."""
    waiting = list(stages)
    while waiting:
        with _Child(tuple(waiting)) as child:  # its own: what is fed to it must not move while answers are taken off
            for line in child.lines():
                yield Ended(waiting.pop(0), *line)
                if not waiting:
                    return
        yield Ended(waiting.pop(0), child.end, child.end, child.said)


class _Child:
    def __init__(self, stages: Sequence[Any]) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the child
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.end = self.said = ""
        self.answers: queue.Queue[str | None] = queue.Queue()
        self.threads = [
            threading.Thread(target=self._feed, args=[stages], daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _feed(self, stages: Sequence[Any]) -> None:
        assert self.process.stdin is not None
        try:
            for stage in stages:
                self.process.stdin.write(json.dumps(stage) + "\n")
            self.process.stdin.close()
        except OSError:
            pass

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def lines(self) -> Iterator[tuple[int | str, int | str, str]]:
        limit = 60.0  # to start
        while True:
            try:
                line = self.answers.get(timeout=limit)
            except queue.Empty:
                self.process.kill()
                self.end = "hang"
                return
            if line is None:
                self.end = f"status {self.process.wait()}"
                return
            limit = MOST_SECONDS
            if line != "ready\n":
                yield tuple(json.loads(line))

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with self.errors as file:
            file.seek(0)
            self.said = file.read()[-200:]


def written(value: Any) -> str:
    """A value in YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[str(value)]
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return json.dumps(value)


def _serve() -> None:
    import io
    import resource

    import numpy as np
    import torch  # noqa: F401  so that its address space is not counted

    from bridgeflow.cli.app import app

    os.chdir(tempfile.mkdtemp())
    np.save("in.npy", np.random.default_rng(0).standard_normal(SAMPLES).astype("f4"))
    np.savez("in.npz", x=np.random.default_rng(0).standard_normal((4, SAMPLES)).astype("f4"))

    def command(*arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                app(list(arguments), prog_name="bridgeflow")
                code = 0
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, said.getvalue().strip().rpartition("\n")[2][-300:]

    command("list")
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_MEMORY,) * 2)
    print("ready", flush=True)
    for line in sys.stdin:
        stages = json.loads(line)
        stages = stages if isinstance(stages, list) else [stages]
        for old in Path().glob("out*"):
            old.unlink()
        source = "{npz: in.npz, fs: 100}" if any("first" in stage for stage in stages) else "{npy: in.npy, fs: 100}"
        listed = "\n".join(f"  - {written(stage)}" for stage in stages)
        Path("job.yaml").write_text(
            f"version: 1\nsource: {source}\ntransforms:\n{listed}\nsink: {{npz: out.npz}}\n", encoding="utf-8"
        )
        checked, said = command("check", "job.yaml")
        ran, more = command("run", "job.yaml")
        print(json.dumps([checked, ran, more if ran or not checked else said]), flush=True)


if __name__ == "__main__":
    _serve()
