"""Files of web servers, by ranges: each answer says which bytes of which version of the file it holds, or is refused.

fsspec's own reader takes what a server sends for what was asked; this one compares `Content-Range`, length, `ETag` and
`Last-Modified` of each answer. Redirects are followed here, so that a caller can say where they may lead. A server
that gives no ranges is asked once, for the whole file.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from bridgeflow._optional import require
from bridgeflow.io.stores.base import Store, Transient, cut_off, described, without_query
from bridgeflow.io.stores.objects import ObjectChanged, ObjectVersion, Opening
from bridgeflow.io.stores.options import store_options

__all__ = ["HttpStore"]

_REDIRECTS: Final = 5
_SECRETS: Final = ("authorization", "cookie", "proxy-authorization")


class HttpStore(Store):
    """Web servers, through the session of fsspec's file system and so with its `client_kwargs`."""

    no_listing = "a web server does not say which files it has: name each"
    no_writing = "a web server is read-only"
    opens_whole = True

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        fsspec = require("fsspec", needed_for=f"{scheme}:// URLs")
        self._aiohttp: Any = require("aiohttp", needed_for=f"{scheme}:// URLs")
        self._yarl: Any = require("yarl", needed_for=f"{scheme}:// URLs")
        self._files: Any = fsspec.filesystem(scheme, skip_instance_cache=True)

    @asynccontextmanager
    async def _answer(
        self, url: str, allowed: Callable[[str], bool] | None, headers: dict[str, str]
    ) -> AsyncIterator[Any]:
        """The answer to a request, redirects followed; failures become few kinds of errors."""
        session = await self._files.set_session()
        options = dict(self._files.kwargs)
        headers = {**options.pop("headers", {}), "Accept-Encoding": "identity", **headers}
        options.pop("allow_redirects", None)
        patience = store_options().timeout
        options["timeout"] = self._aiohttp.ClientTimeout(total=None, sock_connect=patience, sock_read=patience)
        place = self._yarl.URL(url, encoded="%" in url)
        try:
            for _ in range(_REDIRECTS + 1):
                async with session.get(place, headers=headers, allow_redirects=False, **options) as response:
                    if response.status not in (301, 302, 303, 307, 308):
                        self._require_fine(url, response)
                        yield response
                        return
                    place = self._redirected(url, place, response, allowed, {**session.headers, **headers}, session)
            raise self.failed(url, f"is redirected more than {_REDIRECTS} times", "name the place it leads to")
        except asyncio.TimeoutError:
            raise Transient(f"no answer within {patience:.3g} s") from None
        except self._aiohttp.ClientSSLError as error:
            raise self.failed(
                url, f"the server's certificate is refused ({type(error).__name__})", "check it"
            ) from None
        except self._aiohttp.InvalidURL:
            raise self.failed(url, "is not a URL", "check it") from None
        except (self._aiohttp.ClientError, ConnectionError) as error:
            raise Transient(described(error)) from None

    def _redirected(
        self, url: str, place: Any, response: Any, allowed: Callable[[str], bool] | None, headers: Any, session: Any
    ) -> Any:
        """Where a redirect leads, if it may."""
        try:
            target = place.join(self._yarl.URL(response.headers.get("Location", "")))
        except ValueError:
            raise self.failed(url, "is redirected to what is not a URL", "check it") from None
        shown = without_query(str(target.with_user(None))) if target.host else "nowhere"
        if target.scheme not in ("http", "https") or not target.host or target.user is not None:
            raise self.failed(url, f"is redirected to {shown}", "redirects lead to http and https URLs")
        if place.scheme == "https" and target.scheme == "http":
            raise self.failed(url, f"is redirected to {shown}, without encryption", "name that URL if it is meant")
        if allowed is not None and not allowed(without_query(str(target))):
            raise self.failed(url, f"is redirected to {shown}, which is not allowed", f"allow it with --root {shown}")
        is_other = (place.host, place.port) != (target.host, target.port)
        has_secrets = session.auth is not None or any(name.lower() in _SECRETS for name in headers)
        if is_other and has_secrets:
            problem = f"is redirected to {shown}, which must not see the credentials of this session"
            raise self.failed(url, problem, "name that URL")
        return target

    def _require_fine(self, url: str, response: Any) -> None:
        status = response.status
        if status in (200, 206, 416):
            if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                raise self.failed(url, "comes compressed, so that ranges are not those of the file", "download first")
            return
        if status in (404, 410):
            raise FileNotFoundError(url)
        if status in (401, 403, 407):
            raise PermissionError(url)
        if status in (408, 425, 429) or status >= 500:
            after = response.headers.get("Retry-After", "")
            raise Transient(f"HTTP {status} ({response.reason})", float(after) if after.isdecimal() else 0.0)
        raise self.failed(url, f"the server refuses with HTTP {status} ({response.reason})", "check the URL")

    async def _open(self, url: str, count: int, allowed: Callable[[str], bool] | None) -> Opening:
        async with self._answer(url, allowed, {"Range": f"bytes=0-{count - 1}"}) as response:
            if response.status == 416:
                return Opening(_version(0, response), b"")
            if response.status == 206:
                total = self._require_range(url, response, 0, count)
                content = await response.read()
                if len(content) != min(count, total):
                    raise cut_off(len(content), min(count, total))
                return Opening(_version(total, response), content)
            return await self._whole(url, response)

    async def _version(self, url: str, allowed: Callable[[str], bool] | None) -> ObjectVersion:
        async with self._answer(url, allowed, {"Range": "bytes=0-0"}) as response:
            if response.status == 206:
                return _version(self._require_range(url, response, 0, 1), response)
            return _version(0 if response.status == 416 else self._length(url, response), response)

    async def _range(
        self, url: str, version: ObjectVersion, start: int, stop: int, allowed: Callable[[str], bool] | None
    ) -> bytes:
        async with self._answer(url, allowed, {"Range": f"bytes={start}-{stop - 1}"}) as response:
            if response.status == 206:
                total = _total(response)
            else:
                total = 0 if response.status == 416 else self._length(url, response)
            if _version(total, response) != version:
                raise ObjectChanged
            if response.status != 206:
                raise self.failed(url, "the server gives ranges no longer", "download first")
            self._require_range(url, response, start, stop)
            content: bytes = await response.read()
        if len(content) != stop - start:
            raise cut_off(len(content), stop - start)
        return content

    def _require_range(self, url: str, response: Any, start: int, stop: int) -> int:
        """The size of the file, where the answer holds the bytes that were asked for."""
        said = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", said.strip())
        if match is None:
            problem = f"the server says the range {said[:60]!r}, and no size of the file"
            raise self.failed(url, problem, f"download first: curl -O {without_query(url)}")
        first, last, total = map(int, match.groups())
        if (first, last + 1) != (start, min(stop, total)):
            problem = f"the server answers with {said[:60]!r}, and bytes {start}-{stop - 1} were asked for"
            raise self.failed(url, problem, f"its ranges are wrong; download first: curl -O {without_query(url)}")
        return total

    def _length(self, url: str, response: Any) -> int:
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            problem = "the server gives no ranges and does not say the size, so that a cut-off file could not be told"
            raise self.failed(url, problem, f"download first: curl -O {without_query(url)}")
        return int(length)

    async def _whole(self, url: str, response: Any) -> Opening:
        """The whole file, in a file without a name."""
        nbytes, most = self._length(url, response), store_options().download_nbytes
        if nbytes > most:
            problem = f"the server gives no ranges, and the file has {nbytes:,} bytes, more than {most:,}"
            raise self.failed(url, problem, f"download first: curl -O {without_query(url)}")
        with tempfile.TemporaryFile() as file:
            got = 0
            async for piece in response.content.iter_chunked(1 << 20):
                got += len(piece)
                await asyncio.to_thread(file.write, piece)
            if got != nbytes:
                raise cut_off(got, nbytes)
            file.flush()
            head = os.pread(file.fileno(), 1 << 10, 0)
            return Opening(_version(nbytes, response), head, os.dup(file.fileno()))


def _version(nbytes: int, response: Any) -> ObjectVersion:
    return ObjectVersion(nbytes, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _total(response: Any) -> int:
    """The size of the file by an answer's range; -1 where it says none, which no version has."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else -1
