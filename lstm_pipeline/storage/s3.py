"""S3 that is waited for, but not for ever: one layer of retries, and a bound on every wait without progress.

s3fs retries what botocore has retried already, and neither bounds a body that trickles in. Here every request and every
body is given up once nothing useful has happened for `patience()` seconds, and an answer that is not S3's, such as a
proxy's login page, is an error instead of an empty bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
from collections.abc import Mapping
from typing import Any

from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from lstm_pipeline.storage.waiting import patience

_LEAST_PROGRESS = 1 << 16
"""Bytes of a body that count as progress: a body that brings fewer within the patience trickles."""

_SLOWEST_UPLOAD, _UNSEEN = 1 << 17, 1 << 20
"""Bytes a second that an upload may be slow, and how many of them the operating system may hold on their way: whether
those have come is not seen, so they prolong the deadline. The others do so when they are taken."""

_ABORT_SECONDS = 5.0
"""How long it is tried to take back an upload of several parts that has failed."""

TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)
_TRANSIENT_CODES = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling")

_EXPECTED: Mapping[str, tuple[str, ...]] = {
    "list_objects_v2": ("Name", "KeyCount", "IsTruncated"),
    "head_object": ("ETag",),
    "get_object": ("ETag",),
    "put_object": ("ETag",),
    "create_multipart_upload": ("UploadId",),
    "upload_part": ("ETag",),
    "complete_multipart_upload": ("ETag",),
}
"""Call → what S3's answer to it has at least one of."""


class NoProgress(ConnectionError):
    """A store did not answer, or sent next to nothing, for as long as it is waited for."""


class Unreachable(ConnectionError):
    """Every attempt at a store failed; no kind that s3fs would try again by itself, for as long once more."""


class NotS3(OSError):
    """Something answered that is not S3."""


class PatientS3(S3FileSystem):  # type: ignore[misc]
    """s3fs with bounded waits; registered for the schemes s3 and s3a."""

    retries = 4  # of a body that breaks off; requests are retried by `_call_s3` alone

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        """One request, tried again until it succeeds, fails for good, or `patience()` is over.

        Seconds in which the store takes an upload do not count.
        """
        await self.set_session()  # reads botocore's descriptions of S3: no fault of the store if that takes seconds
        clock = asyncio.get_running_loop().time
        body: Any = kwargs.get("Body")
        allowed = patience() + min(_size(body), _UNSEEN) / _SLOWEST_UPLOAD
        deadline, wait = clock() + allowed, 0.1
        # a connection may be dead without anyone noticing: half the patience is kept for a second one, unless the
        # first request may have changed what it is conditional on
        first = deadline if _is_conditional(method, akwarglist, kwargs) else deadline - patience() / 2
        last: Exception | None = None
        while True:
            limit = asyncio.timeout_at(min(first, deadline))
            upload = _Upload(body, limit) if _size(body) > _UNSEEN else None  # from its start, each time
            try:
                async with limit:
                    answer = await self._once(method, *akwarglist, **(kwargs | {"Body": upload} if upload else kwargs))
                break
            except Exception as error:
                if limit.expired():
                    if first < deadline:
                        first = deadline = deadline + _flowed(upload)
                        continue
                    if last is not None:
                        raise _final(last) from last.__cause__  # it did answer before: what it said tells more
                    raise NoProgress(f"no answer for {allowed:.0f} s") from None
                if _redirects_in_circles(error):
                    raise NotS3(f"it answered {method} with redirects in circles; is its address right?") from error
                if not _is_transient(error):
                    raise
                last = error
                first, deadline = first + _flowed(upload), deadline + _flowed(upload)
                wait = min(2 * wait, 5.0)
                pause = wait * random.uniform(0.5, 1.0)
                if clock() + pause >= deadline:
                    raise _final(error) from error.__cause__
                await asyncio.sleep(pause)
        _require_s3(method, answer)
        if "Body" in answer:
            answer["Body"] = _PatientBody(answer["Body"])
        return answer

    call_s3 = sync_wrapper(_call_s3)  # s3fs's own calls its own `_call_s3`, which is not bounded

    async def _abort_mpu(self, bucket: str, key: str, mpu: str) -> None:
        """Takes back an upload of several parts, if the store answers soon: what is told is why it failed."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_ABORT_SECONDS):
                await super()._abort_mpu(bucket, key, mpu)

    async def _once(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        """One attempt, its error translated as s3fs does."""
        from s3fs.errors import translate_boto_error

        client = await self.get_s3(kwargs.get("Bucket"))
        call = getattr(client, method)
        try:
            return await call(**self._get_s3_method_kwargs(call, *akwarglist, **kwargs))
        except Exception as error:
            raise translate_boto_error(error)  # noqa: B904  it sets the cause, and may be the same error


class _Upload(io.BytesIO):
    """A body on its way to the store: as long as its pieces are taken, the time limit of its request is put off."""

    def __init__(self, body: bytes, limit: asyncio.Timeout) -> None:
        super().__init__(body)
        self._limit, self._until = limit, limit.when() or 0.0
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self.flowed = 0.0
        """Seconds from the request to the last piece that was taken."""

    def read(self, size: int | None = -1, /) -> bytes:
        """The next piece."""
        self.flowed = self._clock() - self._began
        with contextlib.suppress(RuntimeError):  # it was given up a moment ago
            self._limit.reschedule(self._until + self.flowed)
        return super().read(size)


def _flowed(upload: _Upload | None) -> float:
    return upload.flowed if upload else 0.0


class _PatientBody:
    """A body that is given up when it trickles."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def read(self, amount: int = -1) -> bytes:
        """All of the body, or its next bytes."""
        clock, wait = asyncio.get_running_loop().time, patience()
        pieces: list[bytes] = []
        read, counted, deadline = 0, 0, clock() + wait
        while amount < 0 or read < amount:
            most = _LEAST_PROGRESS if amount < 0 else min(_LEAST_PROGRESS, amount - read)
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await self._body.read(most)
            except TimeoutError:
                raise NoProgress(f"{read:,} bytes of an answer came, and then too few for {wait:.0f} s") from None
            if not piece:
                break
            pieces.append(piece)
            read += len(piece)
            if read - counted >= _LEAST_PROGRESS:
                counted, deadline = read, clock() + wait
            if amount >= 0 and read >= amount:
                break
        return b"".join(pieces)

    def close(self) -> None:
        """Closes the connection."""
        self._body.close()

    async def __aenter__(self) -> _PatientBody:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _require_s3(method: str, answer: Mapping[str, Any]) -> None:
    """Refuses an answer that no S3 gives.

    Raises:
        NotS3: it lacks what S3 always says.
    """
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    kind = headers.get("content-type", "")
    expected = _EXPECTED.get(method)
    if expected is not None:
        genuine = any(name in answer for name in expected)
    else:
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        genuine = status != 200 or not kind.startswith("text/html")  # some stores type even an empty 204 as a page
    if not genuine:
        found = f"a {kind} page" if kind else "an answer without a type"
        raise NotS3(f"it answered {method} with {found} that is not S3's; is it a proxy or a login page?")


def _redirects_in_circles(error: BaseException) -> bool:
    from aiohttp import TooManyRedirects

    return isinstance(getattr(error, "kwargs", {}).get("error"), TooManyRedirects)


def _is_transient(error: BaseException) -> bool:
    """Whether another attempt may succeed: the connection failed, or the store is overloaded."""
    from aiohttp import ClientError as ConnectionFault
    from botocore import exceptions as aws

    if isinstance(error, NoProgress | NotS3):
        return False
    cause = error.__cause__ or error
    if isinstance(cause, aws.ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code = str(cause.response.get("Error", {}).get("Code", ""))
        return status in TRANSIENT_STATUS or code in _TRANSIENT_CODES
    return isinstance(cause, aws.HTTPClientError | aws.ConnectionError | ConnectionError | ConnectionFault)


def _final(error: Exception) -> Exception:
    """What is told once `patience()` is over."""
    from s3fs.core import S3_RETRYABLE_ERRORS

    return Unreachable(str(error)) if isinstance(error, S3_RETRYABLE_ERRORS) else error


def _is_conditional(method: str, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """Whether a request must not be repeated without having seen its answer."""
    given = {name for arguments in (*positional, keywords) if isinstance(arguments, Mapping) for name in arguments}
    return method == "complete_multipart_upload" or bool(given & {"IfMatch", "IfNoneMatch"})


def _size(body: Any) -> int:
    return len(body) if isinstance(body, bytes | bytearray | memoryview) else 0
