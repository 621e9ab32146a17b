"""Crossings: one array in, one array out, shared wherever that can be.

Arrays go in, arrays come out; containers are `bridgeflow.tree`'s, transforms over both are in `bridgeflow.transforms`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
