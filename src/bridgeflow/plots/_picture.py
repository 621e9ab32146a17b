"""What all pictures share: their look, how text is put into them, and how they are published."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from bridgeflow._optional import require, require_installed
from bridgeflow.io import Roots, printable, publish
from bridgeflow.io.files import data_error

__all__ = ["AFTER", "BEFORE", "MARK", "TEXT", "picture", "publish_picture", "require_matplotlib", "write_text"]

BEFORE, AFTER, MARK = "#9a9a94", "#0b5fa5", "#b8432f"
TEXT, GRID = "#33332f", "#e4e4df"
_STYLE = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}
"""matplotlib's own defaults with quiet axes, whatever the user's settings: the same picture everywhere."""


_DARK_GROUND, _DARK_TEXT, _DARK_GRID = "#16181b", "#d9d9d2", "#33373c"
_DARK_STYLE = {
    "figure.facecolor": _DARK_GROUND,
    "savefig.facecolor": _DARK_GROUND,
    "axes.facecolor": _DARK_GROUND,
    "text.color": _DARK_TEXT,
    "axes.edgecolor": _DARK_TEXT,
    "axes.labelcolor": _DARK_TEXT,
    "xtick.color": _DARK_TEXT,
    "ytick.color": _DARK_TEXT,
    "grid.color": _DARK_GRID,
}


def require_matplotlib(needed_for: str = "the picture of a report", *, imported: bool = True) -> None:
    """Fail early where the picture could not be drawn at the end.

    Args:
        imported: whether to import it, too; otherwise it is enough that it is installed.

    Raises:
        MissingDependency: matplotlib cannot be imported, or is not installed.
    """
    if imported:
        require("matplotlib.figure", needed_for=needed_for)
    else:
        require_installed("matplotlib", needed_for=needed_for)


def publish_picture(png: bytes, path: str | os.PathLike[str], *, overwrite: bool = False, roots: Roots = None) -> None:
    """Write a picture.

    Raises:
        DataError: the file is not called .png, exists and may not be replaced, or lies outside the roots.
    """
    if Path(path).suffix.lower() != ".png":
        raise data_error(path, "pictures are PNG files, and end in .png", "give it another name")
    with publish(path, overwrite=overwrite, roots=roots) as output:
        output.file.write(png)


@contextmanager
def picture(width: float, height: float, *, dark: bool = False) -> Iterator[tuple[Any, BytesIO]]:
    """A figure of this size in inches to draw into, and the PNG that holds it afterwards."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    png = BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Characters that the font does not have are drawn as boxes, which needs no warning.
        warnings.filterwarnings("ignore", "Glyph |Matplotlib currently does not support", UserWarning)
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # whose stubs list every key
        settings.update({**_STYLE, **_DARK_STYLE} if dark else _STYLE)
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1, hspace=0.06))
        yield figure, png
        figure.savefig(png, format="png", metadata={"Software": None})


_LONGEST_TEXT = 60


def write_text(put: Callable[..., Any], text: str) -> None:
    """Put text from outside as it is written: never parsed as mathematics, on one line, cut where it is too long."""
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}\N{HORIZONTAL ELLIPSIS}"
    put(printable(cut), parse_math=False)
