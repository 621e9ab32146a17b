"""BridgeFlow: signal data between PyTorch, NumPy, Arrow and SciPy without hidden copies, filtered at memory speed.

Importing this package imports none of torch, SciPy, pyarrow, torchvision or matplotlib: each name below is loaded
when it is first used.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
