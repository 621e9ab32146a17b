"""Runs of the command line, each in a fork of a process that has imported it: a process of its own without the start.

The fork changes its folder, takes the streams that it is given, runs the command, and ends as Python ends, with
whatever that prints.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from typing import NamedTuple

from tests.workplace import ROOT


class Done(NamedTuple):
    """How a command ended, and what it said on the streams that it was not given."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """Runs commands in folders."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        line = [sys.executable, "-m", "tests.cli.forks", str(theirs.fileno())]
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            line, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, pass_fds=[theirs.fileno()]
        )
        theirs.close()

    def run(self, folder, arguments, *, stdout=None, stderr=None) -> Done:
        """Run a command with these streams, files that are open, or with pipes that are read."""
        readers, writers = [], []
        for stream in (stdout, stderr):
            reading, writing = os.pipe() if stream is None else (None, os.dup(stream.fileno()))
            readers.append(reading)
            writers.append(writing)
        socket.send_fds(self._socket, [json.dumps([str(folder), arguments]).encode()], writers)
        for writing in writers:
            os.close(writing)
        said = [self._read(reading) for reading in readers]
        return Done(int(self._socket.recv(16)), *said)

    @staticmethod
    def _read(reading) -> str:
        if reading is None:
            return ""
        with os.fdopen(reading, encoding="utf-8") as file:
            return file.read()

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


def serve(commands: socket.socket) -> None:
    """Run what is asked for, each in a fork, which returns."""
    from bridgeflow.cli import app, checks, main  # noqa: F401
    from bridgeflow.config import config_schema
    from bridgeflow.engines import local, shards  # noqa: F401

    config_schema()  # which imports formats and transforms
    while True:
        message, descriptors, _, _ = socket.recv_fds(commands, 1 << 20, 2)
        if not message:
            return
        child = os.fork()
        if child == 0:
            commands.close()
            folder, arguments = json.loads(message)
            os.chdir(folder)
            for number, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            sys.stdout, sys.stderr = (
                io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), encoding="utf-8") for number in (1, 2)
            )
            sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
            sys.argv = ["bridgeflow", *arguments]
            main()
        for descriptor in descriptors:
            os.close(descriptor)
        commands.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
