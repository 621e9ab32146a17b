"""What users can hold their own transforms to: the contract suite, and Hypothesis strategies for data to do it with.

`bridgeflow.testing.strategies` needs Hypothesis, and is therefore imported by itself.
"""

from __future__ import annotations

from bridgeflow.testing.contracts import CLAUSES, check_transform

__all__ = ["CLAUSES", "check_transform"]
