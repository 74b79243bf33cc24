"""Bytes under one root: the local disk or an object store, with the same promises on both.

A file exists whole or not at all, exactly one of several rivals creates a file, and no path leads out of the root. The
faults of object stores are put into words here. fsspec, s3fs and botocore have their home in this room.
"""

from lstm_pipeline.storage.faults import S3, bounded_requests, explain, is_transient, s3_options
from lstm_pipeline.storage.listing import StoredFile, is_private
from lstm_pipeline.storage.owner import Owner
from lstm_pipeline.storage.parallel import each
from lstm_pipeline.storage.store import NoFolderError, Store, from_json, sha256, to_json
from lstm_pipeline.storage.unpacking import bounded, most_unpacked
from lstm_pipeline.storage.waiting import patience

__all__ = [
    "S3",
    "NoFolderError",
    "Owner",
    "Store",
    "StoredFile",
    "bounded",
    "bounded_requests",
    "each",
    "explain",
    "from_json",
    "is_private",
    "is_transient",
    "most_unpacked",
    "patience",
    "s3_options",
    "sha256",
    "to_json",
]
