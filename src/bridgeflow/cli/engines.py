"""Which engine runs a job, by its name on the command line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import click

if TYPE_CHECKING:
    from bridgeflow.engines.shards import ShardsResult

__all__ = ["EngineName", "address_option", "chosen_engine", "engine_option"]

EngineName: TypeAlias = Literal["local", "ray"]
"""Who may do the work."""

engine_option = click.option(
    "--engine",
    metavar="local|ray",
    default="local",
    show_default=True,
    help="Who does the work: this process, or a Ray cluster, on which recordings go one task each.",
)
address_option = click.option(
    "--address",
    metavar="HOST:PORT|auto",
    help="With --engine ray: the cluster. By default processes of this machine, which end with the job.",
)


def chosen_engine(name: str, address: str | None) -> Callable[..., ShardsResult]:
    """What runs a job that writes shards: a function of the job, `overwrite` and `progress`.

    Args:
        name: an `EngineName`.
        address: of the cluster; `None` for none.

    Raises:
        ConfigError: an unknown name, or an address for the local engine.
    """
    from bridgeflow.errors import ConfigError
    from bridgeflow.policy import parse_word

    parse_word(name, EngineName, field="--engine")
    if name == "ray":
        from bridgeflow.engines.ray import run_on_ray

        return partial(run_on_ray, address=address)
    if address is not None:
        raise ConfigError("--address is of a Ray cluster, and the engine is local; add --engine ray")
    from bridgeflow.engines.shards import run_shards

    return run_shards
