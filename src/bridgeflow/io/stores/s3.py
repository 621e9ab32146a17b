"""S3, and stores that speak its protocol, by s3fs: ranges of one ETag, pages of listings, puts with `If-None-Match`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Final

from bridgeflow._optional import require
from bridgeflow.io.stores.base import Store, Transient, cut_off, described
from bridgeflow.io.stores.objects import Entry, ObjectChanged, ObjectExists, ObjectVersion, Opening
from bridgeflow.io.stores.options import store_options

__all__ = ["S3Store"]

_PART: Final = 64 << 20
"""Bytes of a part of an upload; what is no longer goes in one request."""

_PASSING: Final = frozenset(
    {
        "InternalError",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "ConditionalRequestConflict",
        "OperationAborted",
    }
)


class S3Store(Store):
    """S3 by s3fs, which has its endpoint and credentials from the environment, `~/.aws` or fsspec's configuration."""

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        fsspec = require("fsspec", needed_for="s3:// URLs")
        require("s3fs", needed_for="s3:// URLs")
        self._files: Any = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        # One attempt each: how often a request is made is for `_tried` to decide.
        self._files.retries = 1
        self._files.config_kwargs = {"retries": {"total_max_attempts": 1}, **self._files.config_kwargs}

    async def _call(self, url: str, method: str, **options: Any) -> Any:
        """A request of the protocol, whose errors become few."""
        bucket, _, key = url.partition("://")[2].partition("/")
        place = {"Bucket": bucket} if method == "list_objects_v2" else {"Bucket": bucket, "Key": key}
        try:
            return await self._files._call_s3(method, **place, **options)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise self._verdict(url, error) from error

    def _verdict(self, url: str, error: BaseException) -> BaseException:
        """What an error of s3fs, botocore or the connection is to us."""
        response = _response(error)
        if response is None:
            cause = error.__cause__ or error
            if type(cause).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                remedy = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fsspec.config.conf["s3"] = {"anon": True}'
                return self.failed(url, "no credentials were found", remedy)
            if isinstance(cause, (ValueError, TypeError)) or type(cause).__name__ == "ParamValidationError":
                return self.failed(url, f"the request is not one ({described(cause)})", "check bucket and key")
            return Transient(described(cause))
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NotImplemented" or status == 501:
            return self.failed(url, "the store does not know this request (NotImplemented)", "use another store")
        if status >= 500 or status in (408, 429) or code in _PASSING:
            return Transient(f"HTTP {status} {code.removeprefix(str(status))}".strip())
        if status == 412 or code == "PreconditionFailed":
            return FileExistsError(url)
        if status == 416:
            return IndexError(url)
        if status == 404 or code in ("NoSuchKey", "NoSuchBucket", "404"):
            return FileNotFoundError(url)
        if status in (401, 403):
            return PermissionError(url)
        return self.failed(url, f"the store refuses with HTTP {status} {code}", "check bucket, region and credentials")

    async def _get(self, url: str, start: int, stop: int, **condition: str) -> tuple[ObjectVersion, bytes]:
        response = await self._call(url, "get_object", Range=f"bytes={start}-{stop - 1}", **condition)
        said = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.get("ContentRange", ""))
        try:
            async with response["Body"] as stream:
                content = bytes(await stream.read())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise self._verdict(url, error) from error
        if said is None:
            raise self.failed(url, "the store gives no ranges", f"download first: aws s3 cp {url} .")
        first, last, total = map(int, said.groups())
        if (first, last + 1) != (start, min(stop, total)):
            problem = (
                f"the store answers with bytes {first:,} to {last:,}, and {start:,} to {stop - 1:,} were asked for"
            )
            raise self.failed(url, problem, "something between here and the store is broken")
        if len(content) != last + 1 - first:
            raise cut_off(len(content), last + 1 - first)
        return ObjectVersion(total, response.get("ETag", ""), str(response.get("LastModified", ""))), content

    async def _open(self, url: str, count: int, allowed: Callable[[str], bool] | None) -> Opening:
        try:
            return Opening(*await self._get(url, 0, count))
        except IndexError:  # an empty object has no first byte
            return Opening(await self._version(url, allowed), b"")

    async def _version(self, url: str, allowed: Callable[[str], bool] | None) -> ObjectVersion:
        facts = await self._call(url, "head_object")
        return ObjectVersion(int(facts["ContentLength"]), facts.get("ETag", ""), str(facts.get("LastModified", "")))

    async def _range(
        self, url: str, version: ObjectVersion, start: int, stop: int, allowed: Callable[[str], bool] | None
    ) -> bytes:
        try:
            current, content = await self._get(url, start, stop, **({"IfMatch": version.etag} if version.etag else {}))
        except (FileExistsError, IndexError):  # the condition was not met, or the object is shorter
            raise ObjectChanged from None
        if current[:2] != version[:2]:
            raise ObjectChanged
        return content

    async def _list(self, url: str, most: int) -> list[Entry]:
        prefix = url.partition("://")[2].partition("/")[2]
        prefix = f"{prefix}/" if prefix else ""
        entries: list[Entry] = []
        more: dict[str, str] = {}
        while True:
            page = await self._call(
                url, "list_objects_v2", Prefix=prefix, Delimiter="/", MaxKeys=min(most, 1000), **more
            )
            entries += [
                Entry(one["Prefix"][len(prefix) :].rstrip("/"), True, 0) for one in page.get("CommonPrefixes", ())
            ]
            entries += [
                Entry(one["Key"][len(prefix) :], False, int(one["Size"]))
                for one in page.get("Contents", ())
                if one["Key"] != prefix
            ]
            if not page.get("IsTruncated") or len(entries) >= most:
                return [one for one in entries[:most] if one.name]
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _put(self, url: str, content: bytes, *, new: bool) -> None:
        await self._call(url, "put_object", Body=content, **_only(new))

    async def _delete(self, url: str) -> None:
        await self._call(url, "delete_object")

    def put_file(self, url: str, file: BinaryIO, nbytes: int, *, new: bool) -> None:
        """Long files go in parts, and the last request, which makes the object, carries the condition."""
        if nbytes <= 2 * _PART:
            super().put_file(url, file, nbytes, new=new)
            return
        self.run(self._put_parts(url, file, nbytes, new=new))

    async def _put_parts(self, url: str, file: BinaryIO, nbytes: int, *, new: bool) -> None:
        begun = await self._tried("written", url, lambda: self._call(url, "create_multipart_upload"))
        upload = {"UploadId": begun["UploadId"]}
        free = asyncio.Semaphore(store_options().requests)

        async def part(number: int) -> Mapping[str, Any]:
            async with free:
                file.seek(number * _PART)
                content = file.read(_PART)
                answer = await self._tried(
                    "written",
                    url,
                    lambda: self._call(url, "upload_part", PartNumber=number + 1, Body=content, **upload),
                    nbytes=len(content),
                )
                return {"PartNumber": number + 1, "ETag": answer["ETag"]}

        async def complete(parts: list[Mapping[str, Any]]) -> None:
            await self._call(url, "complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload, **_only(new))

        try:
            parts = list(await asyncio.gather(*(part(number) for number in range(-(-nbytes // _PART)))))
            await self._tried("written", url, lambda: complete(parts), nbytes=nbytes)
        except BaseException as error:
            with suppress(Exception):  # the object was made by an attempt whose answer was lost, or the store is away
                await self._call(url, "abort_multipart_upload", **upload)
            if isinstance(error, FileExistsError):
                raise ObjectExists from None
            raise


def _only(new: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if new else {}


def _response(error: BaseException | None) -> Mapping[str, Any] | None:
    """What the store answered, where an error carries it."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, Mapping):
            return response
        error = error.__cause__
    return None
