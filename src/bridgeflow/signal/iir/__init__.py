"""IIR filters as second-order sections: SciPy's functions, on NumPy, torch and Arrow arrays.

Where these functions differ from SciPy's of the same name, apart from taking more kinds of arrays:

- float32, float16, bfloat16 and complex64 data keep their dtype (SciPy answers in float64 where `sos` is float64). The
  recursion runs in float64 all the same unless `precision="float32"` asks otherwise, and states have the dtype of the
  recursion.
- `sos` may be a design (`Butter(...)`), which is known to be stable. Sections in an array are taken as they are, as
  SciPy does.
- `nonfinite=` can refuse NaN and infinity, or start afresh after them.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
