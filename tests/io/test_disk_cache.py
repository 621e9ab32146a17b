"""A folder of results: what was put comes back, or nothing does; never what another file says."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context

import pytest

from bridgeflow import DataError, DiskCache


def test_what_was_put_comes_back_in_another_object(tmp_path):
    DiskCache(tmp_path / "a" / "b").put("states", {"of": 1}, b"abc")
    again = DiskCache(tmp_path / "a" / "b")
    assert again.get("states", {"of": 1}) == b"abc"
    assert again.get("states", {"of": 2}) is None
    assert again.get("index", {"of": 1}) is None


def test_every_damage_is_noticed(tmp_path):
    cache = DiskCache(tmp_path)
    cache.put("states", {"of": 1}, bytes(range(60)))
    (path,) = tmp_path.iterdir()
    right = path.read_bytes()
    for place in range(len(right)):
        for changed in (right[:place], right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :]):
            path.write_bytes(changed)
            assert cache.get("states", {"of": 1}) is None
    path.write_bytes(right + b"more")
    assert cache.get("states", {"of": 1}) is None
    path.write_bytes(right)
    assert cache.get("states", {"of": 1}) == bytes(range(60))


def test_a_file_under_another_name_is_another_file(tmp_path):
    cache = DiskCache(tmp_path)
    cache.put("states", {"of": 1}, b"one")
    (one,) = tmp_path.iterdir()
    cache.put("states", {"of": 2}, b"two")
    (two,) = set(tmp_path.iterdir()) - {one}
    os.replace(one, two)
    assert cache.get("states", {"of": 2}) is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_left_alone(tmp_path, make):
    cache = DiskCache(tmp_path)
    cache.put("states", {"of": 1}, b"one")
    (path,) = tmp_path.iterdir()
    path.unlink()
    make(path)
    assert cache.get("states", {"of": 1}) is None


def test_the_least_recently_used_go_first(tmp_path):
    cache = DiskCache(tmp_path, max_nbytes=700)
    for number in range(4):
        cache.put("states", {"of": number}, bytes(100))
        for path in tmp_path.iterdir():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
        assert cache.get("states", {"of": 0}) == bytes(100)
    assert [cache.get("states", {"of": number}) is not None for number in range(4)] == [True, False, True, True]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 700
    cache.put("states", {"of": 9}, bytes(1000))
    assert cache.get("states", {"of": 9}) is None


def test_files_of_others_and_parts_that_are_written_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    abandoned, new = tmp_path / ".a.bfpart", tmp_path / ".b.bfpart"
    abandoned.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    DiskCache(tmp_path, max_nbytes=300).put("states", {}, bytes(50))
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".bfcache"} == {"notes.txt", ".b.bfpart"}


def test_a_folder_that_cannot_be_written_to_is_told_once(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        cache.put("states", {}, b"x")
    cache.put("states", {}, b"x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be a folder for a cache"):
        DiskCache(tmp_path / "file")


def _put_and_get(folder, number):
    cache = DiskCache(folder)
    for turn in range(60):
        cache.put("states", {"of": 1}, bytes([number]) * 20_000)
        contents = cache.get("states", {"of": 1})
        assert contents is not None, turn
        assert contents in {bytes([0]) * 20_000, bytes([1]) * 20_000}


def test_two_processes_at_once(tmp_path):
    context = get_context("fork")
    processes = [context.Process(target=_put_and_get, args=(tmp_path, number)) for number in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    assert [one.exitcode for one in processes] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1
