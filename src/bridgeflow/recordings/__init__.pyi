from .column import Column as Column
from .column import Units as Units
from .index import Recordings as Recordings
from .recording import Recording as Recording

__all__ = [
    "Column",
    "Recording",
    "Recordings",
    "Units",
]
