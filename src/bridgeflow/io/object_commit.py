"""Publishing an object of a store: whole or not at all, and never over another by accident.

The bytes are written to a file of this machine that has no name, and put in one request, which the store refuses where
there is an object of that name (`If-None-Match: *` and its like): so of several runs one makes it, and the others see
that it is there. Whether a store does refuse is asked before anything is written, since some ignore the condition.

A folder on a store has no lock, which no store would release for a run that was killed. It needs none: names and bytes
of shards and records follow from the job alone, so two runs of one job put the same objects, and a run of another job
finds a job record that is not its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from bridgeflow.errors import StoreError
from bridgeflow.io.files import Roots, not_supported, plainly, require_output
from bridgeflow.io.opened import RemoteFile
from bridgeflow.io.publication import Overwrite, Publication, already_there, other_bytes, receipt_of, sha256_at
from bridgeflow.io.stores.objects import ObjectExists
from bridgeflow.io.urls import UrlPath

if TYPE_CHECKING:
    from bridgeflow.io.stores.base import Store

__all__ = ["PROBE", "publish_object", "require_conditional_puts"]

PROBE: Final = ".bridgeflow-probe"
"""The object that is put twice to see whether a store refuses the second; removed again."""


@contextmanager
def publish_object(path: UrlPath, *, overwrite: Overwrite, roots: Roots) -> Iterator[Publication]:
    """Write an object that appears when the block ends; arguments as `bridgeflow.io.publish`.

    Raises:
        DataError: it exists and `overwrite` does not allow that, or the URL lies outside the roots.
        NotSupported: the store is read-only, or has no conditional put.
        StoreError: the store cannot be reached.
    """
    require_output(path, roots=roots)
    if overwrite is False and path.is_file():
        raise already_there(path)
    if overwrite is not True:
        require_conditional_puts(path.parent)
    with tempfile.TemporaryFile() as file:
        publication = Publication(path, file)
        yield publication
        file.flush()
        receipt = receipt_of(path, file)
        try:
            with plainly(path):
                path.store.put_file(path.url, file, receipt.nbytes, new=overwrite is not True)
        except ObjectExists:
            # Where it holds these very bytes, an attempt whose answer was lost may have made it: all is well.
            digest = sha256_at(RemoteFile(path))
            if digest != receipt.sha256:
                raise (already_there(path) if overwrite is False else other_bytes(receipt, digest)) from None
        publication.receipt = receipt


def require_conditional_puts(folder: UrlPath) -> None:
    """Refuse a store that would replace an object although it was asked not to.

    Raises:
        NotSupported: it does, or it is read-only.
    """
    store, bucket = folder.store, folder.parts[1]
    if bucket in store.proven:
        return
    if store.no_writing:
        raise not_supported(folder, f"cannot be written to: {store.no_writing}", "write to a folder, or to S3")
    with plainly(folder):
        if not _refuses(store, str(folder / PROBE)):
            problem = "its store replaces objects although asked not to (If-None-Match: *), so that two runs could mix"
            raise not_supported(folder, problem, "write to a store with conditional puts, or to a folder")
    store.proven.add(bucket)


def _refuses(store: Store, probe: str) -> bool:
    content = b"Whether this store refuses to replace an object, asked by BridgeFlow.\n"
    try:
        store.put(probe, content, new=True)
    except ObjectExists:  # of another run, or one that was killed here
        return True
    except StoreError as error:
        if "NotImplemented" not in str(error):
            raise
        return False
    try:
        store.put(probe, content, new=True)
    except ObjectExists:
        return True
    finally:
        with suppress(PermissionError, StoreError):
            store.delete(probe)
    return False
