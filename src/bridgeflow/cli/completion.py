"""Completion of commands and options in a shell: click's scripts, put where the shell reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from bridgeflow.cli.console import echo
from bridgeflow.errors import nearest

__all__ = ["completion_options"]

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_BRIDGEFLOW_COMPLETE"


def completion_options(command: Any) -> Any:
    """The options `--install-completion` and `--show-completion`."""
    for name, callback, help in (
        ("--show-completion", _show, "Print the script that completes commands and options in a shell, and exit."),
        ("--install-completion", _install, "Let a shell complete commands and options, and exit."),
    ):
        command = click.option(
            name,
            metavar="[bash|zsh|fish]",
            is_flag=False,
            flag_value="",
            expose_value=False,
            is_eager=True,
            callback=callback,
            help=f"{help} By default the one in $SHELL.",
        )(command)
    return command


def _show(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        echo(_script(context, _shell(value)))
        context.exit()


def _install(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        echo(f"completion installed in {install_completion(context, _shell(value))}; open a new shell")
        context.exit()


def _shell(name: str) -> str:
    name = name or Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        raise click.UsageError(f"no completion for the shell {name!r}; {nearest(name, _SHELLS)}")
    return name


def _script(context: click.Context, shell: str) -> str:
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None
    return completion(context.find_root().command, {}, "bridgeflow", _VARIABLE).source()


def install_completion(context: click.Context, shell: str) -> Path:
    """Write the script, and let the shell read it when it starts.

    Raises:
        OSError: a file cannot be written.
    """
    home = Path.home()
    path = {
        "bash": home / ".bash_completions" / "bridgeflow.sh",
        "zsh": home / ".zfunc" / "bridgeflow.zsh",
        "fish": home / ".config" / "fish" / "completions" / "bridgeflow.fish",
    }[shell]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_script(context, shell) + "\n", encoding="utf-8")
    if shell != "fish":  # which reads its folder
        settings = home / f".{shell}rc"
        line = f"source '{path}'"
        before = settings.read_text(encoding="utf-8") if settings.exists() else ""
        if line not in before.splitlines():
            settings.write_text(f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n", "utf-8")
    return path
