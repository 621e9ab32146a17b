"""Resampling: SciPy's `resample_poly` and `decimate` on NumPy, torch and Arrow arrays, and the same live.

Where these functions differ from SciPy's of the same name, apart from taking more kinds of arrays:

- float16 and bfloat16 data keep their dtype, and are computed in float32.
- float32 data stay float32 also where the taps, or the sections of `decimate`, are float64.
- a recording of one sample goes on as that sample where `padtype` would need two.
- the taps of live resampling are real.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
