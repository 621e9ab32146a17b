"""URLs as paths: what they are, what is refused, and that nothing secret is shown."""

import copy
import os
import pickle
from pathlib import Path

import pytest

from bridgeflow.errors import DataError, NotSupported
from bridgeflow.io import shown
from bridgeflow.io.files import data_error, is_beneath, open_regular
from bridgeflow.io.urls import UrlPath, as_path, is_url, redacted

pytest.importorskip("fsspec")


def test_parts_are_those_of_a_path():
    path = as_path("s3://bucket/night/a.b.parquet")
    assert isinstance(path, UrlPath)
    assert (str(path), path.name, path.stem, path.suffix) == (
        "s3://bucket/night/a.b.parquet", "a.b.parquet", "a.b", ".parquet",
    )  # fmt: skip
    assert path.scheme == "s3"
    assert (str(path.parent), str(path.parent.parent)) == ("s3://bucket/night", "s3://bucket")
    assert str(path.parent / "log" / "b.json") == "s3://bucket/night/log/b.json"
    assert str(path.with_suffix(".npy")) == "s3://bucket/night/a.b.npy"
    assert path == as_path("s3a://bucket/night/a.b.parquet") != as_path("s3://bucket/night/a.parquet")
    assert sorted([path, path.parent]) == [path.parent, path]
    assert [str(one) for one in path.parents] == ["s3://bucket/night", "s3://bucket"]
    assert as_path("s3://bucket").parent == as_path("s3://bucket/")


def test_what_follows_the_question_mark_is_asked_and_not_shown():
    path = as_path("https://HOST:443/a.npy?signature=abc")
    assert (str(path), path.url, path.suffix) == ("https://host/a.npy", "https://host/a.npy?signature=abc", ".npy")
    assert path.parent.url == "https://host"
    assert path != as_path("https://host/a.npy")
    for text in (str(path), repr(path), shown(path), shown(path.url), str(data_error(path, "is empty"))):
        assert "abc" not in text
    for same in (pickle.loads(pickle.dumps(path)), copy.copy(path)):
        assert same.url == path.url


def test_of_files_of_this_machine_there_are_local_paths():
    assert as_path("file:///data/a.npy") == Path("/data/a.npy")
    assert not isinstance(as_path("file:///data/a.npy"), UrlPath)
    assert not is_url("data/a.npy")
    assert not is_url("C:\\a.npy")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket//a.npy", "has empty parts"),
        ("s3://bucket/a/../b.npy", "has empty parts, . or .."),
        ("https://host/a/%2E%2e/b.npy", "has empty parts, . or .."),
        ("https://host/a%2Fb.npy", "has empty parts, . or .."),
        ("s3:///a.npy", "names no bucket"),
        ("https:///a.npy", "names no host"),
        ("https://host/a.npy#part", "a part of a page"),
        ("https://host/a b.npy", "is not a URL"),
        ("https://host/a\n.npy", "is not a URL"),
        ("https://host\\@other/a.npy", "is not a URL"),
        ("file://a.npy", "names an absolute path"),
        ("simplecache::s3://bucket/a.npy", "is a chain of URLs"),
        ("zip://a.npy::https://host/b.zip", "is a chain of URLs"),
        ("https://user:secret@host/a.npy", "has credentials"),
        ("https://secret@host/a.npy", "has credentials"),
        ("s3://key:secret@bucket/a.npy", "has credentials"),
        (f"s3://bucket/{'a' * 5000}", "is not a URL"),
    ],
    ids=range(17),
)
def test_what_is_refused(url, message):
    with pytest.raises(DataError, match=message) as caught:
        as_path(url)
    assert "secret" not in str(caught.value)


def test_what_needs_a_local_file_is_refused_by_name():
    path = as_path("s3://bucket/a.npy")
    with pytest.raises(NotSupported, match=r"s3://bucket/a.npy: is a URL, .* download first"):
        os.stat(path)
    with pytest.raises(NotSupported, match="download first"):
        open_regular(path)
    with pytest.raises(NotSupported, match="download first"):
        open_regular("s3://bucket/a.npy")


def test_roots_of_urls_and_folders_are_apart():
    roots = (Path("/data"), as_path("s3://bucket/in"), as_path("https://host:8080"))
    inside = ["s3://bucket/in", "s3://bucket/in/a/b.npy", "https://host:8080/x", "/data/a"]
    outside = [
        "s3://bucket", "s3://bucket/input/a", "s3://bucket2/in/a", "gs://bucket/in/a", "https://host/x",
        "http://host:8080/x", "https://host:8080.evil/x", "/database", "s3:/bucket/in/a",
    ]  # fmt: skip
    assert [path for path in inside + outside if is_beneath(path, roots)] == inside


def test_redacted():
    assert redacted("s3://bucket/a.npy") == "s3://bucket/a.npy"
    assert redacted("https://u:p@host/a?b=c#d") == "https://…@host/a?…"
