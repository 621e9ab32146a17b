"""Tables and columns of other libraries as Arrow's, over the same memory where they allow it.

polars, DuckDB and pandas hand over what they have as Arrow capsules. pandas would make nulls of NaN on the way, and add
its index as a column; so its columns of NumPy's numbers are taken as they are, and its index is left out.
"""

from __future__ import annotations

from typing import Any

from bridgeflow._optional import loaded
from bridgeflow.errors import Reason

__all__ = ["as_column", "as_table", "is_foreign_table", "why_copied"]

_NUMBERS = "iuf"
"""Kinds of NumPy's dtypes that Arrow has over the same memory; of time, missing ones are NaT in both."""


def is_foreign_table(x: object) -> bool:
    """Whether a value streams Arrow and has columns: a Series or a chunked array has none."""
    arrow = loaded("pyarrow")
    if not hasattr(x, "__arrow_c_stream__") or isinstance(x, type):
        return False
    if arrow is not None and isinstance(x, (arrow.RecordBatch, arrow.Table)):
        return False
    return any(hasattr(x, name) for name in ("columns", "column_names", "schema"))


def as_table(x: Any) -> Any:
    """A table of another library as a `pa.Table`. Columns of pandas that hold NumPy's numbers keep NaN; its index is
    left out.

    >>> import pandas as pd
    >>> as_table(pd.DataFrame({"x": [1.0, float("nan")]}, index=["a", "b"])).column("x").null_count
    0
    """
    import pyarrow as pa

    pandas = loaded("pandas")
    if pandas is None or not isinstance(x, pandas.DataFrame):
        return pa.table(x)
    columns = [as_column(x.iloc[:, number]) for number in range(x.shape[1])]
    return pa.table(columns, names=[str(name) for name in x.columns])


def as_column(x: Any) -> Any:
    """A column of another library, or what else exports Arrow, as a `pa.Array` or `pa.ChunkedArray`.

    >>> import pandas as pd
    >>> as_column(pd.Series([1.0, float("nan")])).null_count
    0
    """
    import pyarrow as pa

    pandas = loaded("pandas")
    if pandas is not None and isinstance(x, pandas.Series):
        of_numpy = isinstance(x.array, pandas.arrays.NumpyExtensionArray)
        if of_numpy and x.dtype.kind == "b":
            return pa.ExtensionArray.from_storage(pa.bool8(), pa.array(x.to_numpy().view("int8")))
        if of_numpy and x.dtype.kind in _NUMBERS:
            return pa.array(x.to_numpy(), from_pandas=False)
    return pa.array(x) if hasattr(x, "__arrow_c_array__") else pa.chunked_array(x)


def why_copied(x: Any) -> tuple[Reason, str] | None:
    """Why `as_column` copies a column of pandas; `None` where it does not, or where this is not known.

    >>> import pandas as pd
    >>> why_copied(pd.Series([1.0])), why_copied(pd.Series([[1.0], [2.0]]))[0]
    (None, 'dtype')
    """
    pandas = loaded("pandas")
    if pandas is None or not isinstance(x, pandas.Series):
        return None
    kind = getattr(x.dtype, "kind", "")
    if isinstance(x.array, pandas.arrays.NumpyExtensionArray):
        if kind == "O":
            return "dtype", "pandas keeps objects, which Arrow reads one by one"
        if kind in _NUMBERS and not x.to_numpy().flags.c_contiguous:
            return "non-contiguous", "the column lies among others, and Arrow's values follow each other"
    elif hasattr(x.array, "_mask") and x.hasnans:
        return "masked", "pandas keeps a byte for each missing value, and Arrow a bit"
    return None
