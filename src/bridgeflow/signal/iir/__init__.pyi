from .engine import EngineName as EngineName
from .engine import Parallel as Parallel
from .engine import Precision as Precision
from .sections import sections_of as sections_of
from .sections import sosfilt as sosfilt
from .sections import sosfilt_zi as sosfilt_zi
from .sections import sosfiltfilt as sosfiltfilt
from .sections import traced_sections as traced_sections

__all__ = [
    "EngineName",
    "Parallel",
    "Precision",
    "sections_of",
    "sosfilt",
    "sosfilt_zi",
    "sosfiltfilt",
    "traced_sections",
]
