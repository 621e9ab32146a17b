"""The command line: thin. Each command says what it does, what went wrong in one line, and an exit code."""

from bridgeflow.cli.app import app, main

__all__ = ["app", "main"]
