"""Augmentations: random changes of training samples, drawn for each row from `generators()`."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
