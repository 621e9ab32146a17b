from .column import Column as Column
from .column import Units as Units
from .recording import Recording as Recording

__all__ = [
    "Column",
    "Recording",
    "Units",
]
