"""What users can hold their own transforms to: the contract suite, and Hypothesis strategies for data to do it with.

`bridgeflow.testing.strategies` needs Hypothesis, and is therefore imported by itself.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
