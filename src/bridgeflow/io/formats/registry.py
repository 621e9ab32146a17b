"""Formats by name and by file suffix, found in this folder: adding one is adding a file that has `FORMATS`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType

from bridgeflow.errors import nearest
from bridgeflow.io.base import Format
from bridgeflow.io.files import data_error

__all__ = ["all_formats", "format_of"]


@cache
def all_formats() -> Mapping[str, Format]:
    """Every format by name.

    >>> sorted(all_formats())
    ['arrow', 'arrow_stream', 'npy', 'npz', 'parquet', 'wav']
    """
    package = import_module(__package__)
    modules = (import_module(f"{__package__}.{module.name}") for module in iter_modules(package.__path__))
    found = {form.name: form for module in modules for form in getattr(module, "FORMATS", ())}
    return MappingProxyType(dict(sorted(found.items())))


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of this name, or else the one that the file's suffix means.

    >>> format_of("lead.pq").name
    'parquet'
    """
    known = all_formats()
    if name is not None:
        if name not in known:
            raise ValueError(f"no format {name!r}; {nearest(name, known)}")
        return known[name]
    suffix = Path(path).suffix.lower()
    by_suffix = {each: form for form in known.values() for each in form.suffixes}
    if suffix not in by_suffix:
        raise data_error(path, f"no format has the suffix {suffix!r}", f"name the format; {nearest(suffix, by_suffix)}")
    return by_suffix[suffix]
