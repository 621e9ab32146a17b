"""Which files a folder or a pattern means."""

import glob
import os
from pathlib import Path

import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import recordings
from bridgeflow.io.listing import MAX_PATTERN


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    return folder


def names_in(path, **options):
    return [one.name for one in recordings(path, **options)]


def test_a_folder_means_the_files_of_known_formats_in_it(tmp_path):
    tree(tmp_path, "b.npy", "a.parquet", "c.arrow", "README.md", ".hidden.npy", "sub/d.npy", "manifest.json")
    assert names_in(tmp_path) == ["a", "b", "c"]
    assert names_in(tmp_path, format="npy") == ["b"]
    (one,) = recordings(tmp_path, format="parquet")
    assert one == ("a", tmp_path / "a.parquet", 5)


def test_a_file_is_itself_whatever_its_name(tmp_path):
    tree(tmp_path, "take[1].npy", "take1.npy")
    assert names_in(tmp_path / "take[1].npy") == ["take[1]"]
    assert names_in(tmp_path / "take?.npy") == ["take1"]


@pytest.mark.parametrize(
    "pattern",
    [
        "*.npy",
        "**/*.npy",
        "s*/*.npy",
        "s?/**",
        "**/x/*.npy",
        "s[12]/*",
        "s1/**/*.npy",
        "**",
        "*/*/*.npy",
        "**/**/b.npy",
    ],
)
def test_patterns_mean_what_globs_mean(tmp_path, pattern):
    """Judged by `glob`, apart from links to folders, which ours does not follow."""
    names = (
        "a.npy",
        "b.npy",
        "s1/a.npy",
        "s1/x/b.npy",
        "s2/c.npy",
        "s2/.d.npy",
        ".s3/e.npy",
        "s1/x/y/f.npy",
        "s4/x/g.npy",
    )
    tree(tmp_path, *names)
    expected = set(glob.glob(str(tmp_path / pattern), recursive=True))
    assert [str(one.path) for one in recordings(tmp_path / pattern)] == sorted(
        (path for path in expected if os.path.isfile(path)), key=lambda path: Path(path).parts
    )


def test_names_are_of_the_file_alone_and_its_own(tmp_path):
    tree(tmp_path, "s1/a.npy", "s2/a.npy")
    assert names_in(tmp_path / "*" / "a.npy") == ["s1_a", "s2_a"]
    tree(tmp_path, "s1_a.npy")
    with pytest.raises(DataError, match=r"s1_a\.npy: and .*s1/a\.npy would both be called 's1_a'"):
        recordings(tmp_path / "**/*.npy")
    tree(tmp_path, "s1/a.parquet")
    with pytest.raises(DataError, match="would both be called 'a'; name their format"):
        recordings(tmp_path / "s1")
    assert names_in(tmp_path / "s1", format="npy") == ["a"]


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    tree(tmp_path, *(f"{name}.npy" for name in "badfce"))
    expected = names_in(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.entries = sorted(scandir(path), key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert names_in(tmp_path) == expected == list("abcdef")


def test_nothing_found(tmp_path):
    with pytest.raises(DataError, match=r"no file in it ends in \.arrow, "):
        recordings(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        recordings(tmp_path / "*.npy")
    with pytest.raises(DataError, match="no such file"):
        recordings(tmp_path / "none.npy")
    with pytest.raises(DataError, match="no such file"):
        recordings(tmp_path / "none" / "*.npy")


def test_what_is_no_regular_file_is_an_error_and_not_skipped(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"a\.npy: is not a regular file"):
        recordings(tmp_path)
    (tmp_path / "a.npy").unlink()
    (tmp_path / "a.npy").symlink_to(tmp_path / "none")
    with pytest.raises(DataError, match="no such file"):
        recordings(tmp_path / "*.npy")


def test_every_file_lies_beneath_a_root(tmp_path):
    inside, outside = tree(tmp_path / "inside", "a.npy"), tree(tmp_path / "outside", "b.npy", "x/c.npy")
    (inside / "folder").symlink_to(outside)
    assert names_in(inside, roots=(inside,)) == ["a"]
    assert names_in(inside / "**/*.npy", roots=(inside,)) == ["a"]  # a link to a folder is not walked
    (inside / "link.npy").symlink_to(outside / "b.npy")
    for path in (inside, inside / "*.npy", outside, inside / "folder", outside / "*.npy", inside / "folder" / "*"):
        with pytest.raises(DataError, match=r"lies outside of .*inside; "):
            recordings(path, roots=(inside,))
    with pytest.raises(DataError, match=r"goes back up \(\.\.\)"):
        recordings(inside / "*" / ".." / ".." / "outside" / "*", roots=(inside,))


def test_glob_bombs_are_stopped(tmp_path, monkeypatch):
    deep = tmp_path
    for _ in range(30):
        deep = deep / "a"
    tree(deep, "b.npy")
    entries = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entries.append(path) or scandir(path))
    assert len(recordings(tmp_path / ("**/" * 100 + "*.npy"))) == 1
    assert len(entries) == 31  # each folder once, where trying path by path would take 10^28 turns
    with pytest.raises(DataError, match="no file matches"):
        recordings(tmp_path / "**" / ("*a" * 200 + "b"))
    with pytest.raises(DataError, match="pattern of more than 1,000 characters"):
        recordings("*" * (MAX_PATTERN + 1))
    with pytest.raises(DataError, match="means 2 files, more than 1"):
        recordings(tree(tmp_path / "two", "a.npy", "b.npy"), limit=1)
    monkeypatch.setattr("bridgeflow.io.listing.MAX_ENTRIES", 20)
    with pytest.raises(DataError, match="more than 20 entries looked at"):
        recordings(tmp_path / "**" / "*.npy")
