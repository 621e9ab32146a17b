"""Files in and out: one module per format, each with a reader and a writer of columns."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
