from .bank import same_sections as same_sections
from .bank import sosfilt_bank as sosfilt_bank
from .bank import sosfiltfilt_bank as sosfiltfilt_bank
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
    "same_sections",
    "sections_of",
    "sosfilt",
    "sosfilt_bank",
    "sosfilt_zi",
    "sosfiltfilt",
    "sosfiltfilt_bank",
    "traced_sections",
]
