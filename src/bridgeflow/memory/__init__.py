"""Memory that processes share (anonymous segments, handles, rings of slots for batches), and that is used again."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
