"""Crossings: one array in, one array out, shared wherever that can be.

Arrays go in, arrays come out; containers are `bridgeflow.tree`'s, transforms over both are in `bridgeflow.transforms`.
"""

from __future__ import annotations

from bridgeflow.bridge.api import Masked, describe, like, route, to_arrow, to_numpy, to_tensor
from bridgeflow.bridge.kinds import kind_of
from bridgeflow.bridge.routes import Route, Rule, table
from bridgeflow.bridge.shapes import has_numpy_dtype, shape_of, strided
from bridgeflow.bridge.shared import Shared, share
from bridgeflow.bridge.tracing import Trace, trace

__all__ = [
    "Masked",
    "Route",
    "Rule",
    "Shared",
    "Trace",
    "describe",
    "has_numpy_dtype",
    "kind_of",
    "like",
    "route",
    "shape_of",
    "share",
    "strided",
    "table",
    "to_arrow",
    "to_numpy",
    "to_tensor",
    "trace",
]
