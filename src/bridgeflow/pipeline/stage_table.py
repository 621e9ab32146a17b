"""What a notebook shows of a composition: its stages, and what of their options is not a default."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bridgeflow._html import card, flow, table
from bridgeflow.errors import StageId, printable
from bridgeflow.transforms.base import Transform

__all__ = ["MOST_STAGES", "compose_html"]

MOST_STAGES = 48
"""Most stages that are shown."""


def compose_html(row: Sequence[tuple[StageId, Any]]) -> str:
    """A composition: its stages, and what of their options is not a default."""
    shown = row[:MOST_STAGES]
    rows = [(str(label), _options(stage)) for label, stage in shown]
    more = len(row) - len(shown)
    said = f"<p>and {more:,} more stages</p>" if more > 0 else ""
    names = [label.name for label, _ in shown]
    return card(f"Compose of {len(row):,} stages", flow(names), table(("stage", "options"), rows), said)


def _options(stage: Any) -> str:
    """The fields of a transform that are not at their defaults."""
    if not isinstance(stage, Transform):
        return "a plain callable"
    options = []
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            options.append(f"{field.name}={printable(repr(value), 120)}")
    return ", ".join(options)
