"""Pipelines: transforms in sequence, and what is built on them."""

from __future__ import annotations

from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.workers import WorkerPool

__all__ = ["Compose", "WorkerPool"]
