"""Opening files that a stranger may have named."""

import os
import socket

import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import printable, refuse_overlap, shown
from bridgeflow.io.files import open_regular


def opened(path, **options):
    descriptor = open_regular(path, **options)
    os.close(descriptor)
    return True


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, what in [
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "is a pipe"),
            (tmp_path / "socket", "cannot be opened"),
            ("/dev/zero", "is a device"),
            (tmp_path / "none", "no such file"),
            (tmp_path / "pipe" / "below", "Not a directory"),
            (f"{tmp_path}/a\0b", "NUL"),
            (tmp_path / ("n" * 300), "File name too long"),
        ]:
            with pytest.raises(DataError, match=what):
                opened(path)
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        opened(tmp_path / "empty")


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "mitdb208.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no such file; did you mean .*mitdb208\.parquet\?"):
        opened(tmp_path / "mitdb280.parquet")
    with pytest.raises(DataError, match="has no 'nodir'"):
        opened(tmp_path / "nodir" / "a" / "b")


def test_roots_hold_after_every_link(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "a").write_bytes(b"x")
    (outside / "a").write_bytes(b"x")
    (inside / "link").symlink_to(outside / "a")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside / "loop")
    (inside / "fine").symlink_to(inside / "a")
    (tmp_path / "inside_too").mkdir()
    (tmp_path / "inside_too" / "a").write_bytes(b"x")
    for path in (
        inside / "link",
        inside / "folder" / "a",
        inside / ".." / "outside" / "a",
        tmp_path / "inside_too" / "a",
    ):
        with pytest.raises(DataError, match=r"lies outside of .*inside; .* --root"):
            opened(path, roots=(inside,))
    with pytest.raises(DataError, match="cannot be opened"):
        opened(inside / "loop", roots=(inside,))
    assert opened(inside / "fine", roots=(inside,))
    assert opened(outside / "a", roots=(inside, outside))


def test_a_link_swapped_after_the_check_is_caught(tmp_path, monkeypatch):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (inside / "sub" / "a").write_bytes(b"x")
    (outside / "a").write_bytes(b"secret")
    real_open = os.open

    def swap_then_open(path, *args, **kwargs):
        (inside / "sub").rename(inside / "gone")
        (inside / "sub").symlink_to(outside)
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", swap_then_open)
    with pytest.raises(DataError, match="lies outside of"):
        opened(inside / "sub" / "a", roots=(inside,))


def test_overlaps(tmp_path):
    source = tmp_path / "in.parquet"
    source.write_bytes(b"x")
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    os.link(source, tmp_path / "hard")
    for path in (
        source,
        tmp_path / "link",
        tmp_path / "hard",
        tmp_path / "folder" / "in.parquet",
        tmp_path / "x/../in.parquet",
    ):
        with pytest.raises(DataError, match="the sink is the same file as the source"):
            refuse_overlap({"sink": path}, {"source": source})
    with pytest.raises(DataError, match="the sink lies inside the source"):
        refuse_overlap({"sink": tmp_path / "folder" / "new" / "a"}, {"source": tmp_path})
    with pytest.raises(DataError, match="the picture is the same file as the sink"):
        refuse_overlap({"sink": tmp_path / "a", "picture": tmp_path / "a"}, {"source": source})
    refuse_overlap({"sink": tmp_path / "out.parquet", "picture": tmp_path / "out.png"}, {"source": source})


def test_names_are_shown_without_tricks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == "a/b"
    assert shown("/elsewhere") == "/elsewhere"
    assert shown("a\x1b[31m\u202eb\u200b") == r"a\x1b[31m\u202eb\u200b"
    assert printable("µV 1 × 2") == "µV 1 × 2"
