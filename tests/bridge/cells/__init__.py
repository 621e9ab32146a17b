"""The matrix of crossings as data: every array that the bridge may meet, and what must become of it.

The expectations are written by hand from measurements of the libraries, never taken from the bridge; `test_cells.py`
asks each cell its questions.
"""

from __future__ import annotations

from tests.bridge.cells.cell import Case, Cell
from tests.bridge.cells.from_arrow import CELLS as ARROW
from tests.bridge.cells.from_elsewhere import CELLS as ELSEWHERE
from tests.bridge.cells.from_numpy import CELLS as NUMPY
from tests.bridge.cells.from_torch import CELLS as TORCH

CELLS: tuple[Cell, ...] = (*TORCH, *NUMPY, *ARROW, *ELSEWHERE)
CASES: tuple[Case, ...] = tuple(case for cell in CELLS for case in cell.cases())

__all__ = ["CASES", "CELLS", "Case", "Cell"]
