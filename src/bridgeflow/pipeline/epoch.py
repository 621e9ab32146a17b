"""The epoch of a dataset, in memory that all processes with a copy of the dataset share."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawArray
from typing import Any, Final

from bridgeflow._optional import loaded

__all__ = ["SharedEpoch", "in_torchs_worker"]

_EPOCH: Final = 0
_ROW: Final = 1  # the first row drawn in the epoch, plus one
_REPORTED: Final = 2
_CELLS: Final = 3


class SharedEpoch:
    """A number that a process sets, and its worker processes see, and whether rows were drawn twice meanwhile.

    Forked processes have the same memory, and so do those that receive it while `multiprocessing` starts them, by any
    start method. Copies made otherwise (`pickle`, `copy.deepcopy`) have a number of their own.

    >>> epoch = SharedEpoch()
    >>> epoch.number = 3
    >>> epoch.number
    3
    """

    def __init__(self, number: int = 0) -> None:
        self._cells = _shared_cells()
        self._cells[_EPOCH] = number

    @property
    def number(self) -> int:
        """The epoch."""
        return int(self._cells[_EPOCH])

    @number.setter
    def number(self, number: int) -> None:
        self._cells[_ROW] = 0
        self._cells[_EPOCH] = number

    def drawn_again(self, rows: Any) -> int | None:
        """Take note that random numbers of these rows were drawn; a row that had them before, reported once.

        The first row of an epoch stands for all: a second pass comes to it.
        """
        if self._cells[_REPORTED]:
            return None
        first = int(self._cells[_ROW]) - 1
        if first < 0:
            self._cells[_ROW] = int(rows[0]) + 1
            return None
        if first not in rows:
            return None
        self._cells[_REPORTED] = 1
        return first

    def __getstate__(self) -> dict[str, Any]:
        if get_spawning_popen() is not None and isinstance(self._cells, ctypes.Array):
            return {"_cells": self._cells}
        return {"_cells": self.number}

    def __setstate__(self, state: dict[str, Any]) -> None:
        cells = state["_cells"]
        if isinstance(cells, int):
            self.__init__(cells)  # type: ignore[misc]
        else:
            self._cells = cells


def _shared_cells() -> Any:
    with suppress(OSError):  # multiprocessing's memory is a file; where none can be made, forks share pages without one
        return RawArray(ctypes.c_uint64, _CELLS)
    return memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")


def in_torchs_worker() -> bool:
    """Whether this is a worker process of torch's `DataLoader`."""
    worker = loaded("torch.utils.data._utils.worker")
    return worker is not None and worker.get_worker_info() is not None
