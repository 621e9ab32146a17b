"""The stores of this process, by the schemes of their URLs."""

from __future__ import annotations

import os
from typing import Any

from bridgeflow._forks import ForkLock, call_in_children
from bridgeflow._optional import require
from bridgeflow.io.stores.base import Store
from bridgeflow.io.stores.generic import GenericStore
from bridgeflow.io.stores.http import HttpStore
from bridgeflow.io.stores.s3 import S3Store

__all__ = ["store_of"]

_STORES: dict[tuple[str, str], Store] = {}
_LOCK = ForkLock()

_KINDS: dict[str, type[Store]] = {"s3": S3Store, "http": HttpStore, "https": HttpStore}


def store_of(scheme: str) -> Store:
    """The store of a scheme; another one where fsspec's configuration or the environment of AWS has changed.

    Raises:
        MissingDependency: a package is needed and not installed.
        StoreError: there is no such scheme.
    """
    config: Any = require("fsspec", needed_for=f"{scheme}:// URLs").config.conf.get(scheme)
    environment = sorted(item for item in os.environ.items() if item[0].startswith("AWS_")) if scheme == "s3" else ()
    key = scheme, repr((config, environment))
    with _LOCK:
        if key not in _STORES:
            _STORES[key] = _KINDS.get(scheme, GenericStore)(scheme)
        return _STORES[key]


call_in_children(_STORES.clear)
