from .column import Column as Column
from .column import Units as Units
from .index import Recordings as Recordings
from .recording import Recording as Recording
from .regrid import Regrid as Regrid
from .split_part import SplitPart as SplitPart

__all__ = [
    "Column",
    "Recording",
    "Recordings",
    "Regrid",
    "SplitPart",
    "Units",
]
