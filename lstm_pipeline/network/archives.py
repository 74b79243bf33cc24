"""How much may come out of a `.keras` file: a zip archive, in which the weights are an HDF5 file.

Keras compresses neither. A damaged or foreign file of a few kilobytes could otherwise fill the memory or, through
Keras, the disk.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import h5py

from lstm_pipeline.wording import counted, number

_RATIO, _ROOM = 10, 1_000_000
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""With these, Python unpacks no more of a file than the size that the archive gives for it."""


def require_bounded(path: Path) -> None:
    """Refuses a `.keras` file that would unpack to much more than its size.

    Raises:
        ValueError: it would.
        zipfile.BadZipFile, OSError, KeyError: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        require_size(archive, path.stat().st_size)
        content = archive.read("model.weights.h5")
    with h5py.File(BytesIO(content)) as file:
        require_stored(file)


def require_size(archive: zipfile.ZipFile, packed: int) -> None:
    """Refuses an archive whose files are together much larger than itself.

    Raises:
        ValueError: they are, or they are compressed in a way that hides it.
    """
    files, most = archive.infolist(), _RATIO * packed + _ROOM
    unpacked = sum(file.file_size for file in files)
    if unpacked > most:
        raise ValueError(
            f"expected at most {number(most / 1e6)} MB in an archive of {number(packed / 1e6)} MB, found "
            f"{number(unpacked / 1e6)} MB in {counted(len(files), 'file')}"
        )
    if odd := next((file.filename for file in files if file.compress_type not in _METHODS), None):
        raise ValueError(f"expected files that are stored or deflated, found {odd} compressed in another way")


def require_stored(file: h5py.File) -> None:
    """Refuses weights that are larger than the part of the file that holds them.

    Raises:
        ValueError: a dataset is compressed, or mostly not there.
    """

    def check(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and (item.chunks or item.nbytes > item.id.get_storage_size()):
            raise ValueError(
                f"expected weights that are stored in full, found {name} of {number(item.nbytes / 1e6)} MB in "
                f"{number(item.id.get_storage_size() / 1e6)} MB"
            )

    file.visititems(check)
