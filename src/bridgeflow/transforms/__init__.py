"""Transforms: immutable objects, configuration in, `__call__(data)`. One file each; importing one registers it."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
