"""Spectra over time and on average: SciPy's `ShortTimeFFT` and `welch` on NumPy, torch and Arrow arrays, and live.

Where they differ from SciPy's, apart from taking more kinds of arrays: spectra of single (and half) precision data are
single precision; SciPy gives double always.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
