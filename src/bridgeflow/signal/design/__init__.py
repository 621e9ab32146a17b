"""Filter designs: frozen, hashable, validated when built, solved once.

A design is what a user says, `Butter(order=4, cutoff=20.0, fs=100.0)`. Its arrays (`sos` or `taps`) are derived from
that, once for all equal designs. Names, defaults and numbers are SciPy's, with two differences: frequencies are in Hz
and want `fs`, and SciPy's `N` and `Wn` are called `order` and `cutoff`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
