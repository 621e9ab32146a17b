"""What a store does, whichever it is: requests that are tried again where a failure may pass, and bytes that are those
of one version of an object or an error.

A store is used by many threads at once. Requests are coroutines on fsspec's own loop, so that one caller's may run side
by side; what the store's package raises becomes one of few built-in errors, which callers give a path.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, BinaryIO, TypeVar

from bridgeflow._optional import require
from bridgeflow.errors import StoreError
from bridgeflow.io.stores.objects import MAX_ENTRIES, Entry, ObjectExists, ObjectVersion, Opening
from bridgeflow.io.stores.options import store_options

__all__ = ["Store", "Transient", "cut_off", "described", "without_query"]

_T = TypeVar("_T")

_random = random.Random()
"""For waits alone: the global generator belongs to users, who seed it."""


class Transient(Exception):
    """A failure that may pass: what happened, and how many seconds the store asks to wait."""

    def __init__(self, cause: str, after: float = 0.0) -> None:
        super().__init__(cause)
        self.after = after


class Store(ABC):
    """One store; made by `bridgeflow.io.stores.registry.store_of`. URLs are text: `scheme://bucket/key`.

    Attributes:
        scheme: of its URLs.
        no_listing: why folders cannot be listed; empty where they can.
        no_writing: why nothing can be written; empty where it can.
        opens_whole: whether opening may carry a whole file; it then sees itself to what does not go on.
        proven: buckets that were seen to refuse to replace an object.
    """

    no_listing = ""
    no_writing = ""
    opens_whole = False

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.proven: set[str] = set()

    # --- what each store does in its own way ---

    @abstractmethod
    async def _open(self, url: str, count: int, allowed: Callable[[str], bool] | None) -> Opening:
        """The version of an object and its first bytes."""

    @abstractmethod
    async def _range(
        self, url: str, version: ObjectVersion, start: int, stop: int, allowed: Callable[[str], bool] | None
    ) -> bytes:
        """The bytes `start` to `stop` of this version."""

    @abstractmethod
    async def _version(self, url: str, allowed: Callable[[str], bool] | None) -> ObjectVersion:
        """The version of an object as it is now."""

    async def _list(self, url: str, most: int) -> list[Entry]:
        raise NotImplementedError

    async def _put(self, url: str, content: bytes, *, new: bool) -> None:
        raise NotImplementedError

    async def _delete(self, url: str) -> None:
        raise NotImplementedError

    def put_file(self, url: str, file: BinaryIO, nbytes: int, *, new: bool) -> None:
        """Put the bytes of a file; arguments and errors as `put`."""
        file.seek(0)
        self.put(url, file.read(), new=new)

    # --- what callers use ---

    def open(self, url: str, count: int, allowed: Callable[[str], bool] | None = None) -> Opening:
        """The version of an object, and its first `count` bytes or more.

        Args:
            allowed: whether a URL to which the server redirects may be asked; `None` for any.

        Raises:
            FileNotFoundError, PermissionError, StoreError: as they say.
        """
        whole = store_options().download_nbytes if self.opens_whole else 0
        return self.run(self._tried("opened", url, lambda: self._open(url, count, allowed), nbytes=max(whole, count)))

    def version(self, url: str, allowed: Callable[[str], bool] | None = None) -> ObjectVersion:
        """The version of an object as it is now; errors as `open`."""
        return self.run(self._tried("looked at", url, lambda: self._version(url, allowed)))

    def ranges(
        self,
        url: str,
        version: ObjectVersion,
        ranges: Sequence[tuple[int, int]],
        allowed: Callable[[str], bool] | None = None,
    ) -> list[bytes]:
        """The bytes of several ranges, fetched side by side.

        Raises:
            ObjectChanged: the object is another version by now.
            FileNotFoundError, PermissionError, StoreError: as they say.
        """

        async def fetch() -> list[bytes]:
            free = asyncio.Semaphore(store_options().requests)

            async def one(start: int, stop: int) -> bytes:
                async with free:
                    return await self._tried(
                        "read", url, lambda: self._range(url, version, start, stop, allowed), nbytes=stop - start
                    )

            return list(await asyncio.gather(*(one(start, stop) for start, stop in ranges)))

        return self.run(fetch())

    def list(self, url: str, most: int = MAX_ENTRIES) -> list[Entry]:
        """What lies directly in a folder, in no order; nothing where there is no such folder.

        Args:
            most: how many entries are enough.
        """
        return self.run(self._tried("listed", url, lambda: self._list(url, most), nbytes=most << 9))

    def put(self, url: str, content: bytes, *, new: bool) -> None:
        """Put an object.

        Args:
            new: only where there is none of this name, in one step of the store.

        Raises:
            ObjectExists: there is one. PermissionError, StoreError: as they say.
        """
        try:
            self.run(self._tried("written", url, lambda: self._put(url, content, new=new), nbytes=len(content)))
        except FileExistsError:
            raise ObjectExists from None

    def delete(self, url: str) -> None:
        """Remove an object; nothing where there is none."""
        self.run(self._tried("removed", url, lambda: self._delete(url)))

    def run(self, work: Awaitable[_T]) -> _T:
        """Run a coroutine on fsspec's loop and wait for it."""
        asyn = require("fsspec.asyn", needed_for="object stores")

        async def same() -> _T:
            return await work

        result: _T = asyn.sync(asyn.get_loop(), same)
        return result

    async def _tried(self, action: str, url: str, attempt: Callable[[], Awaitable[_T]], *, nbytes: int = 0) -> _T:
        """Attempt something until it succeeds, or fails in a way that does not pass, or has failed often enough.

        Args:
            action: what cannot be done to the URL, for the message.
            nbytes: how many bytes it carries.
        """
        options = store_options()
        limit = options.time_for(nbytes)
        wait, cause = options.first_wait, ""
        for number in range(1, options.tries + 1):
            try:
                return await asyncio.wait_for(attempt(), limit)
            except (asyncio.TimeoutError, TimeoutError):
                cause, after = f"no answer within {limit:.3g} s", 0.0
            except Transient as error:
                cause, after = str(error), min(error.after, options.longest_wait)
            if number < options.tries:
                await asyncio.sleep(max(after, wait * _random.uniform(0.5, 1.0)))
                wait = min(2 * wait, options.longest_wait)
        times = "once" if options.tries == 1 else f"{options.tries} times"
        raise StoreError(
            f"{without_query(url)}: cannot be {action}: tried {times}, and got {cause}; "
            "try again later, or allow more with bridgeflow.io.configure_stores"
        ) from None

    def failed(self, url: str, cause: str, remedy: str) -> StoreError:
        """The error of a failure that does not pass."""
        return StoreError(f"{without_query(url)}: {cause}; {remedy}")


def without_query(url: str) -> str:
    """A URL as messages show it: what follows `?` may be a signature.

    >>> without_query("https://host/a.npy?signature=abc")
    'https://host/a.npy'
    """
    return url.partition("?")[0]


def cut_off(got: int, expected: int) -> Transient:
    """The failure of a body that ends too early."""
    return Transient(f"{got:,} of {expected:,} bytes")


def described(error: BaseException) -> str:
    """What a package's error says, without the URL that it may repeat."""
    number: Any = getattr(error, "errno", None)
    text = getattr(error, "strerror", None)
    return f"{type(error).__name__} ({text})" if number and text else type(error).__name__
