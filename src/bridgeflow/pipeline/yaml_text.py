"""Transforms as YAML text, which `yaml_stages` reads back to equal ones."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridgeflow.errors import BridgeflowError, ConfigError
from bridgeflow.pipeline.yaml_stages import read_stages
from bridgeflow.transforms.registry import lookup

__all__ = ["stages_text"]

_WIDTH: Final = 116
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What this or another reader of YAML takes for something else than text."""


def stages_text(configs: Sequence[Mapping[str, Any]], stages: Sequence[Any]) -> str:
    """Configurations of transforms as a list in YAML.

    Args:
        configs: of the stages.
        stages: what is to come back.

    Raises:
        ConfigError: a value that no configuration holds.
    """
    lines = [f"  - {line}" for config in configs for line in _stage(_short(config))]
    text = "version: 1\ntransforms:" + (
        " []\n" if not lines else "\n" + "\n".join(lines).replace("  - \0", "    ") + "\n"
    )
    try:
        same = read_stages(text) == list(stages)
    except BridgeflowError as error:
        raise ConfigError(f"to_yaml: a value has no place in a configuration ({error.args[0]})") from error
    if not same:
        raise ConfigError("to_yaml: a field does not come back as it was; use plain numbers and text")
    return text


def _stage(config: Mapping[str, Any]) -> list[str]:
    """The lines of a transform; those after the first begin with a mark for their indentation."""
    ((name, fields),) = config.items()
    if not fields:
        return [name]
    line = f"{name}: {_flow(fields)}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{name}:", *(f"\0  {_flow(key)}: {_flow(value)}" for key, value in fields.items())]


def _short(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the fields at their defaults."""
    ((name, fields),) = config.items()
    schema = lookup(name).field_schema()["properties"]
    kept = {key: value for key, value in fields.items() if not _is_default(value, schema.get(key, {}))}
    return {name: {key: _shorter(key, value) for key, value in kept.items()}}


def _is_default(value: Any, schema: Mapping[str, Any]) -> bool:
    return "default" in schema and schema["default"] == value and type(schema["default"]) is type(value)


def _shorter(key: str, value: Any) -> Any:
    """The transforms in a field without the fields at their defaults."""
    if key in ("stages", "transforms") and isinstance(value, list):
        short = [_short(one) for one in value]
        return [next(iter(one)) if not next(iter(one.values())) else one for one in short]
    return value


def _flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, str):
        is_word = _WORD.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if is_word else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"to_yaml: {value} has no place in a configuration, whose numbers are finite")
    return json.dumps(value)
