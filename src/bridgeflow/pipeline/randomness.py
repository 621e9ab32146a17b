"""The generators that belong to rows, also under the names of `bridgeflow.pipeline`."""

from bridgeflow.randomness import generators, seeded

__all__ = ["generators", "seeded"]
