"""Files of web servers: the bytes of the version that was opened, or an error that says why not."""

import os
import pickle
import threading
import time
from io import BytesIO

import numpy as np
import pytest

from bridgeflow.errors import DataError, NotSupported, StoreError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.opened import open_file
from bridgeflow.io.urls import as_path

ROWS = np.random.default_rng(0).standard_normal((50_000, 4)).astype(np.float32)  # 800 kB


def npy(array):
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture
def url(web):
    web.files["/a.npy"] = npy(ROWS)
    return f"{web.url}/a.npy"


def test_ranges_give_the_rows_and_no_more_than_is_needed(url, web):
    with open_source(url) as source:
        assert np.array_equal(source.slice(100, 200)["values"], ROWS[100:200])
        assert np.array_equal(source.slice(49_990, 50_000)["values"], ROWS[-10:])
        nbytes = 0
        for _, said in web.requests:
            first, last = said.removeprefix("bytes=").split("-")
            nbytes += int(last) + 1 - int(first)
        assert nbytes < 400_000
        assert np.array_equal(source.read()["values"], ROWS)


def test_shuffled_rows_come_by_few_requests(url, web):
    order = np.random.default_rng(1).permutation(len(ROWS))
    with open_source(url) as source:
        assert np.array_equal(source.take(order)["values"], ROWS[order])
    assert len(web.requests) <= 3


def test_reading_on_asks_for_more_each_time(url, web, quickly):
    quickly(block_nbytes=4096)
    with open_source(url) as source:
        parts = [chunk["values"] for chunk in source.chunks(250)]
    assert np.array_equal(np.concatenate(parts), ROWS)
    sizes = [int(last) - int(first) for first, last in (said[6:].split("-") for _, said in web.requests[1:])]
    assert len(web.requests) < 15
    assert max(sizes) > 200_000


@pytest.mark.parametrize("cache_nbytes", [0, 5000, 40_000])
def test_a_small_cache_changes_no_value(url, quickly, cache_nbytes):
    quickly(block_nbytes=4096, cache_nbytes=cache_nbytes)
    order = np.random.default_rng(1).permutation(len(ROWS))[:300]
    with open_source(url) as source:
        assert np.array_equal(source.take(order)["values"], ROWS[order])
        assert np.array_equal(source.slice(7, 4000)["values"], ROWS[7:4000])


def test_of_parquet_only_the_columns_that_are_read_are_fetched(web, tmp_path):
    columns = {name: np.random.default_rng(seed).standard_normal(100_000) for seed, name in enumerate("abcd")}
    with open_sink(tmp_path / "a.parquet") as sink:
        sink.write(columns)
    web.files["/a.parquet"] = (tmp_path / "a.parquet").read_bytes()
    with open_source(f"{web.url}/a.parquet", columns=["c"]) as source:
        assert np.array_equal(source.read()["c"], columns["c"])
    asked = [said.removeprefix("bytes=").split("-") for _, said in web.requests]
    assert sum(int(last) + 1 - int(first) for first, last in asked) < len(web.files["/a.parquet"]) / 2
    assert len(asked) <= 6


def test_many_threads_share_a_file(url, web, quickly):
    quickly(block_nbytes=4096, cache_nbytes=1 << 20)
    wrong = []
    with open_source(url) as source:

        def read(seed):
            rng = np.random.default_rng(seed)
            for _ in range(5):
                order = rng.integers(0, len(ROWS), 50)
                start = int(rng.integers(0, len(ROWS) - 300))
                ok = np.array_equal(source.take(order)["values"], ROWS[order])
                ok &= np.array_equal(source.slice(start, start + 300)["values"], ROWS[start : start + 300])
                wrong.extend([] if ok else [seed])

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_source_pickles_by_its_url(url, web):
    with open_source(f"{url}?signature=abc") as source:
        again = pickle.loads(pickle.dumps(source))
        assert np.array_equal(again.slice(0, 5)["values"], ROWS[:5])
        assert "abc" not in repr(source)
        web.etags["/a.npy"] = '"2"'
        with pytest.raises(DataError, match="is not the file that was opened first"):
            pickle.loads(pickle.dumps(source))


def test_a_forked_child_reads_on(url, web):
    with open_source(url) as source:
        source.slice(0, 10)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                ok = np.array_equal(source.slice(40_000, 40_100)["values"], ROWS[40_000:40_100])
                os.write(write, b"1" if ok else b"0")
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(read, 1) == b"1"
        os.close(read)
        os.close(write)


def test_a_server_without_ranges_is_asked_once(url, web):
    web.ranges = False
    with open_source(url) as source:
        assert np.array_equal(source.take([49_999, 0])["values"], ROWS[[49_999, 0]])
        assert np.array_equal(source.read()["values"], ROWS)
    assert len(web.requests) == 1


def test_without_ranges_a_large_file_is_refused(url, web, quickly):
    web.ranges = False
    quickly(download_nbytes=1000)
    with pytest.raises(StoreError, match=r"gives no ranges, and the file has 800,128 bytes.*download first"):
        open_source(url)


def test_without_ranges_and_size_a_file_is_refused(url, web):
    web.ranges = web.says_length = False
    with pytest.raises(StoreError, match="does not say the size, so that a cut-off file could not be told; download"):
        open_source(url)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole"])
def test_every_third_request_fails(url, web, quickly, ranges):
    quickly(block_nbytes=4096)
    web.fail_every, web.ranges = 3, ranges
    order = np.random.default_rng(1).permutation(len(ROWS))[:200]
    for _ in range(3):
        with open_source(url) as source:
            assert np.array_equal(source.take(order)["values"], ROWS[order])


def test_what_always_fails_is_said_with_the_url_and_the_cause(url, web):
    web.fail_every = 1
    with pytest.raises(StoreError, match=r"/a.npy: cannot be opened: tried 6 times, and got HTTP 503"):
        open_source(f"{url}?signature=abc")
    assert len(web.requests) == 6
    with pytest.raises(OSError, match="tried 6 times") as caught:
        open_source(f"{url}?signature=abc")
    assert "abc" not in str(caught.value)


def test_no_server_at_all(web, quickly):
    quickly(tries=2)
    with pytest.raises(StoreError, match="tried 2 times, and got ClientConnector"):
        open_source("http://127.0.0.1:9/a.npy")


def test_a_slow_server_is_given_up(url, web, quickly):
    quickly(tries=2, timeout=0.05, download_nbytes=0)
    web.delay = 0.5
    with pytest.raises(StoreError, match=r"tried 2 times, and got no answer within 0\.05 s"):
        open_source(url)


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole"])
def test_bodies_that_end_too_early_are_asked_for_again(url, web, ranges):
    web.ranges, web.cut, web.cut_first = ranges, 100, 2
    with open_source(url) as source:
        web.cut_first = 2
        assert np.array_equal(source.read()["values"], ROWS)


def test_bodies_that_always_end_too_early(url, web):
    web.cut, web.cut_first = 100, 1000
    with pytest.raises(StoreError, match=r"tried 6 times, and got Client\w*Error"):
        open_source(url)


def test_another_version_is_an_error_and_no_mixture(url, web):
    with open_source(url) as source:
        source.slice(0, 10)
        web.files["/a.npy"], web.etags["/a.npy"] = npy(ROWS + 1), '"2"'
        with pytest.raises(DataError, match=r"a.npy: has changed since it was opened; open it again"):
            source.slice(30_000, 30_010)


def test_another_size_is_an_error_even_without_etags(url, web):
    web.etags["/a.npy"] = ""
    with open_source(url) as source:
        web.files["/a.npy"] = npy(ROWS[:20_000])
        with pytest.raises(DataError, match="has changed since it was opened"):
            source.slice(45_000, 45_010)


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, DataError, "no such file; check the URL"),
        (410, DataError, "no such file; check the URL"),
        (403, DataError, "permission denied by the store; credentials come from"),
        (401, DataError, "permission denied by the store"),
        (400, StoreError, "the server refuses with HTTP 400"),
        (418, StoreError, "the server refuses with HTTP 418"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_what_does_not_pass_is_asked_once(url, web, status, error, message):
    web.status = status
    with pytest.raises(error, match=message):
        open_source(url)
    assert len(web.requests) == 1


@pytest.mark.parametrize("said", ["bytes 5-200/800128", "bytes 0-131071/*", "0-131071/800128", "bytes 0-9/800128"])
def test_wrong_ranges_are_refused(url, web, said):
    web.content_range = said
    with pytest.raises(StoreError, match=r"the server (answers with|says the range).*download first"):
        open_source(url)


def test_compressed_bodies_are_refused(url, web):
    web.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(StoreError, match="comes compressed"):
        open_source(url)


def test_an_empty_file(web):
    web.files["/a.npy"] = b""
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        open_source(f"{web.url}/a.npy")


def test_redirects_are_followed_where_they_are_allowed(url, web):
    web.redirects["/b.npy"] = "/a.npy"
    web.redirects["/c.npy"] = f"http://localhost:{web.server_port}/a.npy"
    here, there = as_path(f"{web.url}/"), as_path(f"http://localhost:{web.server_port}/")
    for path in ("/b.npy", "/c.npy"):
        with open_source(web.url + path) as source:
            assert source.rows == len(ROWS)
    assert open_file(as_path(web.url + "/b.npy"), roots=(here,)).nbytes == len(web.files["/a.npy"])
    assert open_file(as_path(web.url + "/c.npy"), roots=(here, there)).nbytes == len(web.files["/a.npy"])
    with pytest.raises(StoreError, match=r"is redirected to http://localhost:\d+/a.npy, which is not allowed"):
        open_file(as_path(web.url + "/c.npy"), roots=(here,))
    web.redirects["/d.npy"] = "http://u:secret@localhost/a.npy"
    with pytest.raises(StoreError, match="redirects lead to http and https URLs") as caught:
        open_source(web.url + "/d.npy")
    assert "secret" not in str(caught.value)
    web.redirects["/e.npy"] = "file:///etc/passwd"
    with pytest.raises(StoreError, match="redirects lead to http and https URLs"):
        open_source(web.url + "/e.npy")
    web.redirects["/f.npy"] = "/f.npy"
    with pytest.raises(StoreError, match="more than 5 times"):
        open_source(web.url + "/f.npy")


def test_redirects_take_no_credentials_along(url, web, monkeypatch):
    import fsspec

    monkeypatch.setitem(fsspec.config.conf, "http", {"client_kwargs": {"headers": {"Authorization": "secret"}}})
    web.redirects["/c.npy"] = f"http://localhost:{web.server_port}/a.npy"
    assert open_file(as_path(url)).nbytes == len(web.files["/a.npy"])
    with pytest.raises(StoreError, match="must not see the credentials"):
        open_source(web.url + "/c.npy")


def test_a_web_server_is_not_written_to_or_listed(web):
    with (
        pytest.raises(NotSupported, match="cannot be written to: a web server is read-only"),
        open_sink(f"{web.url}/b.npy") as sink,
    ):
        sink.write({"values": ROWS})
    with pytest.raises(DataError, match="no such file"):
        open_source(f"{web.url}/none.npy")
    assert not web.requests[1:]


def test_waits_do_not_draw_from_the_global_generator(url, web):
    import random

    random.seed(0)
    expected = random.random()
    random.seed(0)
    web.fail_every = 2
    open_source(url).close()
    assert random.random() == expected


def test_long_files_are_read_side_by_side(web, quickly):
    rows = np.arange(8 << 20, dtype=np.float32)  # 32 MiB
    web.files["/long.npy"] = npy(rows)
    web.delay = 0.05
    with open_source(f"{web.url}/long.npy") as source:
        began = time.monotonic()
        assert np.array_equal(source.read()["values"], rows)
    assert len(web.requests) >= 5
    assert began
