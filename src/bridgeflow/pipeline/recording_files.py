"""The files that a recording consists of besides the one that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bridgeflow.io.urls import UrlPath
from bridgeflow.recordings.formats import format_of

__all__ = ["files_of"]

_LONGEST_HEADER = 1 << 20


def files_of(path: Path) -> tuple[Path, ...]:
    """The file itself; of a WFDB record its samples, segments and annotations; of a Zarr folder all files in it."""
    if isinstance(path, UrlPath):
        return (path,)
    if os.path.isdir(path):
        return tuple(sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names))
    if path.suffix.lower() in format_of(path, "wfdb").suffixes:
        beside = {one for one in path.parent.iterdir() if one.stem == path.stem and one.is_file()}
        return tuple(sorted({path, *beside, *_named_by(path, set())}))
    return (path,)


def _named_by(header: Path, seen: set[Path]) -> Iterator[Path]:
    """The files beside a header that its lines begin with: samples, or the headers of segments and what those name."""
    seen.add(header)
    with open(header, "rb") as file:
        lines = file.read(_LONGEST_HEADER).decode("latin-1").splitlines()
    for line in lines:
        name = line.split(" ")[0].strip()
        if not name or name.startswith("#") or Path(name).name != name:
            continue
        for one in (header.parent / name, header.parent / f"{name}.hea"):
            if one not in seen and one.is_file():
                yield one
                if one.suffix == ".hea":
                    yield from _named_by(one, seen)
