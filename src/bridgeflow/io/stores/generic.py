"""Stores that are used through what all of fsspec's have: memory, and those of Google and Microsoft."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridgeflow._optional import require
from bridgeflow.io.stores.base import Store, Transient, cut_off, described
from bridgeflow.io.stores.objects import Entry, ObjectChanged, ObjectVersion, Opening

__all__ = ["GenericStore"]

_CONDITIONAL = ("memory", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes of stores that put an object only where there is none, in one step, by `mode="create"`."""

_VERSIONS = ("generation", "etag", "ETag", "content_md5", "md5Hash", "checksum", "ino")
_TIMES = ("last_modified", "LastModified", "updated", "mtime", "modified", "created")


class GenericStore(Store):
    """A store through its fsspec file system. After each range the object is looked at again: the bytes are those of
    the version that was opened.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        fsspec = require("fsspec", needed_for=f"{scheme}:// URLs")
        try:
            self._files: Any = fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
        except ImportError as error:  # its message says what to install
            raise self.failed(f"{scheme}://", f"needs a package ({error})", "install it") from error
        except ValueError as error:
            raise self.failed(
                f"{scheme}://", "fsspec knows no such scheme", "see fsspec.available_protocols()"
            ) from error
        if scheme not in _CONDITIONAL:
            self.no_writing = "has no conditional put that BridgeFlow knows, and so cannot refuse to replace an object"

    async def _call(self, name: str, *args: Any, **options: Any) -> Any:
        """A method of the file system, whose errors become few."""
        try:
            if self._files.async_impl:
                return await getattr(self._files, f"_{name}")(*args, **options)
            if self.scheme == "memory":  # on the one thread of the loop, so that puts are one step
                return getattr(self._files, name)(*args, **options)
            return await asyncio.to_thread(getattr(self._files, name), *args, **options)
        except (FileNotFoundError, FileExistsError, PermissionError, asyncio.TimeoutError):
            raise
        except Exception as error:
            status = getattr(error, "status", None) or getattr(error, "code", None) or getattr(error, "status_code", 0)
            passes = isinstance(status, int) and (status in (408, 429) or status >= 500)
            if passes or isinstance(error, (ConnectionError, TimeoutError)) or "aiohttp" in type(error).__module__:
                raise Transient(f"HTTP {status}" if passes else described(error)) from error
            raise self.failed(args[0], f"the store refuses ({described(error)})", "see the store's own log") from error

    async def _version(self, url: str, allowed: Callable[[str], bool] | None) -> ObjectVersion:
        facts = await self._call("info", url)
        if facts.get("type") == "directory":
            raise FileNotFoundError(url)
        etag = next((str(facts[name]) for name in _VERSIONS if facts.get(name)), "")
        time = next((str(facts[name]) for name in _TIMES if facts.get(name)), "")
        return ObjectVersion(int(facts["size"]), etag, time)

    async def _open(self, url: str, count: int, allowed: Callable[[str], bool] | None) -> Opening:
        version = await self._version(url, allowed)
        stop = min(count, version.nbytes)
        return Opening(version, await self._range(url, version, 0, stop, allowed) if stop else b"")

    async def _range(
        self, url: str, version: ObjectVersion, start: int, stop: int, allowed: Callable[[str], bool] | None
    ) -> bytes:
        content = bytes(await self._call("cat_file", url, start=start, end=stop))
        if await self._version(url, allowed) != version:
            raise ObjectChanged
        if len(content) != stop - start:
            raise cut_off(len(content), stop - start)
        return content

    async def _list(self, url: str, most: int) -> list[Entry]:
        try:
            entries = await self._call("ls", url, detail=True)
        except FileNotFoundError:
            return []
        folder = self._files._strip_protocol(url)
        return [
            Entry(one["name"].rstrip("/").rpartition("/")[2], one["type"] == "directory", int(one.get("size") or 0))
            for one in entries[:most]
            if one["name"].rstrip("/") != folder.rstrip("/")
        ]

    async def _put(self, url: str, content: bytes, *, new: bool) -> None:
        await self._call("pipe_file", url, content, **({"mode": "create"} if new else {}))

    async def _delete(self, url: str) -> None:
        with suppress(FileNotFoundError):
            await self._call("rm_file", url)
