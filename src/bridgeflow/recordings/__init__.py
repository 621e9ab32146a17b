"""Recordings: measurements with channels, rates, events and gaps, one or an index of many."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
