import datetime as dt
import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.store import NoFolderError, Store, from_json, to_json


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """On the local disk, and on a file system reached through fsspec as S3 is."""
    return Store(str(tmp_path / "root") if request.param == "local" else f"memory://{tmp_path.name}/root")


def write_half(store: Store, path: UPath) -> None:
    with store.writing(path) as file:
        file.write(b"half of what was mea")
        raise ZeroDivisionError


def test_a_file_comes_back_as_it_was_written(store: Store) -> None:
    path = store.path("bucket", "plant", "a.json")
    store.write(path, b"old")
    store.write(path, b"new")
    assert store.read(path) == b"new"
    assert store.names(store.path("bucket", "plant")) == ["a.json"]


def test_key_is_the_path_below_the_root_and_leads_back(store: Store) -> None:
    path = store.path("bucket", "plant/models", "a.json")
    assert store.key(path) == "bucket/plant/models/a.json"
    assert store.path(store.key(path)) == path


def test_a_root_given_as_file_uri_is_that_folder(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}")
    store.write(store.path("a"), b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_writing_appears_as_a_whole_when_its_block_ends(store: Store) -> None:
    path = store.path("folder", "a")
    store.write(path, b"old")
    with store.writing(path) as file:
        file.write(b"new")
        file.flush()
        assert store.read(path) == b"old"
    assert store.read(path) == b"new"


def test_an_error_in_the_block_leaves_the_old_content_and_nothing_else(store: Store) -> None:
    path = store.path("folder", "a")
    store.write(path, b"old")
    with pytest.raises(ZeroDivisionError):
        write_half(store, path)
    assert store.read(path) == b"old"
    assert [entry.name for entry in store.path("folder").iterdir()] == ["a"]


def test_an_error_in_the_block_makes_no_new_file(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(store, store.path("folder", "a"))
    assert not store.path("folder", "a").exists()


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    path, contents = store.path("a"), [bytes([letter]) * 200_000 for letter in b"AB"]
    store.write(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        for turn in range(60):
            store.write(path, contents[turn % 2])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not stop.is_set():
        seen.add(store.read(path))
    writer.join()
    assert seen <= set(contents)


def test_create_never_replaces(store: Store) -> None:
    path = store.path("folder", "a")
    assert store.create(path, b"first")
    assert not store.create(path, b"second")
    assert store.read(path) == b"first"
    assert [entry.name for entry in store.path("folder").iterdir()] == ["a"]


def test_exactly_one_of_many_rivals_creates_a_file(tmp_path: Path) -> None:
    store, rivals, rounds = Store(str(tmp_path)), 16, 20
    barrier, won = threading.Barrier(rivals), [[] for _ in range(rounds)]

    def rival(number: int) -> None:
        for turn in range(rounds):
            barrier.wait()
            if store.create(store.path("claims", str(turn)), f"rival {number}".encode()):
                won[turn].append(number)

    threads = [threading.Thread(target=rival, args=(number,)) for number in range(rivals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(winners) for winners in won] == [1] * rounds
    for turn, (winner,) in enumerate(won):
        assert store.read(store.path("claims", str(turn))) == f"rival {winner}".encode()
    assert len(store.names(store.path("claims"))) == rounds


def test_upload_and_copy_keep_every_byte(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than one block
    (tmp_path / "source").write_bytes(content)
    store.upload(tmp_path / "source", store.path("a"))
    store.copy(store.path("a"), store.path("b", "c"))
    assert store.read(store.path("b", "c")) == content
    assert store.digest(store.path("a")) == store.digest(store.path("b", "c"))


def test_digest_is_size_and_sha256(store: Store) -> None:
    store.write(store.path("a"), b"abc")
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert store.digest(store.path("a")) == (3, sha)


def test_as_local_is_a_file_with_the_same_bytes(store: Store, tmp_path: Path) -> None:
    store.write(store.path("model.keras"), b"network")
    with store.as_local(store.path("model.keras"), tmp_path) as path:
        assert path.suffix == ".keras"
        assert path.read_bytes() == b"network"


@pytest.mark.parametrize("call", ["read", "digest"])
def test_an_absent_file_is_named(store: Store, call: str) -> None:
    with pytest.raises(RegistryError, match=r"absent\.json does not exist"):
        getattr(store, call)(store.path("absent.json"))


def test_copying_an_absent_file_names_it_and_leaves_no_target(store: Store) -> None:
    with pytest.raises(RegistryError, match=r"absent does not exist"):
        store.copy(store.path("absent"), store.path("target"))
    assert not store.path("target").exists()


def test_a_folder_that_is_not_there_has_no_names(store: Store) -> None:
    assert store.names(store.path("absent")) == []


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write(store.path("a"), b"file")
    with pytest.raises(RegistryError, match="cannot be written"):
        store.write(store.path("a", "b"), b"1")
    assert store.read(store.path("a")) == b"file"


@pytest.mark.parametrize("listing", ["names", "files"])
def test_a_file_in_the_place_of_a_folder_is_not_an_empty_folder(store: Store, listing: str) -> None:
    store.write(store.path("a"), b"file")
    store.write(store.path("b", "inside"), b"file")
    with pytest.raises(NoFolderError, match=r"/a is not a folder: a file is in its place, .*; move the file away"):
        getattr(store, listing)(store.path("a"))
    assert len(getattr(store, listing)(store.path("b"))) == 1
    assert getattr(store, listing)(store.path("c")) == []


@pytest.mark.parametrize(
    "parts",
    [("..",), ("a", ".."), ("a/../../b",), ("/etc",), ("a", "/b"), (".",), ("a//b",), ("",), ("a\\..\\b",), ("a\0",)],
    ids=str,
)
def test_no_path_leads_out_of_the_root(store: Store, parts: tuple[str, ...]) -> None:
    with pytest.raises(RegistryError, match="not a path under the storage root"):
        store.path(*parts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_json_does_not_have(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"loss": value})


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00{", b"[" * 100_000], ids=["empty", "half", "bytes", "deep"])
def test_damaged_json_is_told_with_its_file(data: bytes) -> None:
    with pytest.raises(RegistryError, match=r"v1\.json is damaged"):
        from_json(data, "ensembles/v1.json")


def without_links(source: object, target: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def test_without_hard_links_exactly_one_rival_creates_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on FUSE, SMB and some NFS."""
    monkeypatch.setattr(os, "link", without_links)
    store = Store(str(tmp_path))
    path = store.path("folder", "a")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: store.create(path, str(number).encode()), range(8)))
    assert won.count(True) == 1
    assert store.read(path) == str(won.index(True)).encode()
    assert store.create(path, b"late") is False
    assert [found.name for found in (tmp_path / "folder").iterdir()] == ["a"]


def test_a_root_that_cannot_be_written_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    store = Store(str(tmp_path / "storage"))
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(RegistryError, match=r"cannot be written: .*Read-only file system"):
        store.require_room(store.path("models"), 1)


def test_too_little_space_is_told_before_training(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.require_room(store.path("models"), 1)
    assert list((tmp_path / "models").iterdir()) == []
    with pytest.raises(RegistryError, match=r"too little space in .*: expected about 1,000,000,000,000\.0 MB .* found"):
        store.require_room(store.path("models"), 10**18)


def test_files_at_any_depth_are_listed_with_their_size_and_time(store: Store) -> None:
    folder = store.path("bucket", "plant")
    assert store.files(folder) == []
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
    for name, data in (("b", b"22"), ("a/c/d", b"333"), ("a/e", b""), ("a/.e.1.tmp", b"x"), (".a.lock/f", b"x")):
        store.write(store.path("bucket", "plant", name), data)
    found = store.files(folder)
    assert [(file.parts, file.size) for file in found] == [(("a", "c", "d"), 3), (("a", "e"), 0), (("b",), 2)]
    assert all(before < file.written <= dt.datetime.now(dt.UTC) for file in found)
