"""Our functions as the tests of SciPy meet them: the reference engine has hold of SciPy's before ours replace them."""

from bridgeflow.signal import sosfilt, sosfilt_zi, sosfiltfilt
from bridgeflow.signal.iir.engine import load

__all__ = ["sosfilt", "sosfilt_zi", "sosfiltfilt"]

load("scipy")
