"""Errors of file systems and readers in words that name the URI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage import explain, is_transient
from lstm_pipeline.tables.files import is_s3

_REFUSED = r"AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH)|HTTP status 403|ExpiredToken"
_ANSWERED = rf"{_REFUSED}|AWS Error (NO_SUCH|RESOURCE_NOT_FOUND)|HTTP status 4(?!08|29)"


@contextmanager
def faults_in_words(uri: str) -> Iterator[None]:
    """Turns any error of a file system or reader into a `DataError` that names the URI."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        fault = DataError(_fault(uri, error))
        fault.transient = is_s3(uri) and is_transient(_as_store_error(error))
        raise fault from error


def _fault(uri: str, error: Exception) -> str:
    if is_s3(uri):
        error = _as_store_error(error)
        kinds = (type(error), type(error.__cause__))  # s3fs translates some faults
        from_store = any(kind.__module__.startswith(("botocore", "aiobotocore")) for kind in kinds) or isinstance(
            error, FileNotFoundError | PermissionError | ConnectionError | TimeoutError
        )
        if from_store and (words := explain(error, uri)):
            return words
    if isinstance(error, FileNotFoundError):
        return f"{uri}: no such file or folder ({error})"
    if isinstance(error, PermissionError):
        return f"{uri}: permission denied; check file permissions and credentials ({error})"
    detail = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{uri}: cannot be read; check that the file is complete and that its extension is right ({detail})"


def is_unanswered(error: OSError) -> bool:
    """Whether pyarrow's S3 client was not answered, or told to come again; it puts every fault into an OSError."""
    text = str(error)
    return "AWS Error" in text and not re.search(_ANSWERED, text)


def _as_store_error(error: Exception) -> Exception:
    """A refusal that pyarrow's S3 client was told."""
    return PermissionError(str(error)) if re.search(_REFUSED, str(error)) else error
