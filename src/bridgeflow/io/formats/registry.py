"""Formats by name and by file suffix, found in this folder: adding one is adding a file that has `FORMATS`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Protocol, TypeVar

from bridgeflow.errors import ConfigError, nearest, quoted
from bridgeflow.io.base import Format
from bridgeflow.io.files import data_error
from bridgeflow.io.urls import as_path, is_url

__all__ = ["all_formats", "choose_format", "format_of"]


class HasSuffixes(Protocol):
    """A format, as far as choosing one goes."""

    @property
    def suffixes(self) -> tuple[str, ...]: ...


_Format = TypeVar("_Format", bound=HasSuffixes)


@cache
def all_formats() -> Mapping[str, Format]:
    """Every format by name.

    >>> sorted(all_formats())
    ['arrow', 'arrow_stream', 'npy', 'npz', 'parquet', 'wav', 'webdataset']
    """
    package = import_module(__package__)
    modules = (import_module(f"{__package__}.{module.name}") for module in iter_modules(package.__path__))
    formats = {form.name: form for module in modules for form in getattr(module, "FORMATS", ())}
    return MappingProxyType(dict(sorted(formats.items())))


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of this name, or else the one that the file's suffix means.

    >>> format_of("lead.pq").name
    'parquet'
    """
    return choose_format(path, name, all_formats())


def choose_format(path: str | os.PathLike[str], name: str | None, formats: Mapping[str, _Format]) -> _Format:
    """The format of this name, or else the one that the file's suffix means.

    Raises:
        ConfigError: there is no format of this name.
        DataError: the suffix means none.
    """
    if name is not None:
        if name not in formats:
            raise ConfigError(f"format: no format {quoted(name)}; {nearest(name, formats)}", field="format")
        return formats[name]
    suffix = (as_path(path).suffix if is_url(path) else os.path.splitext(path)[1]).lower()
    form = next((one for one in formats.values() if suffix in one.suffixes), None)
    if form is None:
        suffixes = [each for one in formats.values() for each in one.suffixes]
        raise data_error(path, f"no format has the suffix {suffix!r}", f"name the format; {nearest(suffix, suffixes)}")
    return form
