"""Pictures of what a job did, and of what a filter does (matplotlib)."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
