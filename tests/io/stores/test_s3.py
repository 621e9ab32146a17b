"""S3: the same checks as for the web, listings, and puts that never replace."""

import numpy as np
import pytest

from bridgeflow.errors import DataError, NotSupported, StoreError
from bridgeflow.io import open_sink, open_source, publish, recordings
from bridgeflow.io.stores import s3 as s3_module

ROWS = np.random.default_rng(0).standard_normal((30_000, 4)).astype(np.float32)


def put(url, rows=ROWS, **options):
    with open_sink(url, settings={"fs": 250}, **options) as sink:
        sink.write({"ecg": rows})
    return sink.receipt


@pytest.mark.parametrize("suffix", ["npy", "parquet", "arrow", "arrows", "wav", "npz"])
def test_what_is_written_is_what_a_file_would_hold(bucket, s3, tmp_path, suffix):
    receipt = put(f"s3://{bucket}/night/a.{suffix}")
    local = put(tmp_path / f"a.{suffix}")
    assert (receipt.nbytes, receipt.sha256) == (local.nbytes, local.sha256)
    content = s3.get_object(Bucket=bucket, Key=f"night/a.{suffix}")["Body"].read()
    assert content == (tmp_path / f"a.{suffix}").read_bytes()
    order = np.random.default_rng(1).permutation(len(ROWS))[:200]
    with open_source(f"s3://{bucket}/night/a.{suffix}") as source:
        (name,) = source.specs
        assert np.array_equal(np.asarray(source.read()[name]), ROWS)
        assert np.array_equal(np.asarray(source.take(order)[name]), ROWS[order])
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [f"night/a.{suffix}"]


def test_nothing_is_replaced_unless_it_is_said(bucket):
    url = f"s3://{bucket}/a.npy"
    put(url)
    with pytest.raises(DataError, match="exists already; pass --overwrite"):
        put(url, ROWS[:5])
    with pytest.raises(DataError, match="exists already and holds other bytes"):
        put(url, ROWS[:5], overwrite="same")
    put(url, overwrite="same")
    put(url, ROWS[:5], overwrite=True)
    assert open_source(url).rows == 5


def test_of_two_that_write_at_once_one_wins(bucket):
    url = f"s3://{bucket}/a.npy"

    def slowly():
        with open_sink(url) as slow:
            slow.write({"ecg": ROWS[:5]})
            put(url)

    with pytest.raises(DataError, match="exists already"):
        slowly()
    assert open_source(url).rows == len(ROWS)


def test_a_block_that_fails_leaves_nothing(bucket, s3):
    def fail():
        with publish(f"s3://{bucket}/a.txt") as output:
            output.file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.slow
def test_long_files_go_in_parts(bucket, s3, monkeypatch, proxy):
    monkeypatch.setattr(s3_module, "_PART", 5 << 20)
    rows = np.arange(3 << 20, dtype=np.float64)  # 24 MiB
    proxy.fail_every = 3
    put(f"s3://{bucket}/long.npy", rows)
    assert s3.head_object(Bucket=bucket, Key="long.npy")["ETag"].endswith('-5"')
    assert np.array_equal(open_source(f"s3://{bucket}/long.npy").read()["values"], rows)
    with pytest.raises(DataError, match="exists already and holds other"):
        put(f"s3://{bucket}/long.npy", rows + 1, overwrite="same")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_every_third_request_fails(bucket, proxy):
    proxy.fail_every = 3
    for number in range(2):
        put(f"s3://{bucket}/{number}.parquet")
        with open_source(f"s3://{bucket}/{number}.parquet") as source:
            assert np.array_equal(np.asarray(source.read()["ecg"]), ROWS)
    assert len(recordings(f"s3://{bucket}/*.parquet")) == 2


def test_a_put_whose_answer_is_lost_is_known_again(bucket, proxy):
    put(f"s3://{bucket}/first.npy")  # so that the store is known to refuse
    for overwrite in (False, "same"):
        proxy.lose = 1
        assert put(f"s3://{bucket}/{overwrite}.npy", overwrite=overwrite).nbytes


def test_a_store_that_ignores_the_condition_is_refused(bucket, proxy, s3):
    proxy.drop_condition = True
    with pytest.raises(NotSupported, match=r"replaces objects although asked not to \(If-None-Match: \*\)"):
        put(f"s3://{bucket}/a.npy")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    put(f"s3://{bucket}/a.npy", overwrite=True)


def test_what_always_fails(bucket, proxy, quickly):
    quickly(tries=3)
    proxy.fail_every = 1
    with pytest.raises(StoreError, match=rf"s3://{bucket}/a.npy: cannot be listed: tried 3 times, and got HTTP 503;"):
        open_source(f"s3://{bucket}/a.npy", format="npy").close()
    assert proxy.count == 3


def test_another_version_is_an_error(bucket, s3):
    url = f"s3://{bucket}/a.npy"
    put(url)
    with open_source(url) as source:
        put(url, ROWS + 1, overwrite=True)
        with pytest.raises(DataError, match="has changed since it was opened"):
            source.slice(20_000, 20_010)
    with open_source(url) as source:
        s3.delete_object(Bucket=bucket, Key="a.npy")
        with pytest.raises(DataError, match="no such file"):
            source.slice(20_000, 20_010)


def test_what_is_not_there_or_not_ours(bucket, monkeypatch, s3):
    with pytest.raises(DataError, match="no such file"):
        open_source(f"s3://{bucket}/none.npy")
    with pytest.raises(DataError, match="no such file"):
        open_source("s3://no-such-bucket-here/none.npy")
    s3.put_object(Bucket=bucket, Key="empty.npy", Body=b"")
    with pytest.raises(DataError, match=r"is empty \(0 bytes\)"):
        open_source(f"s3://{bucket}/empty.npy")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(StoreError, match="no credentials were found; set AWS_ACCESS_KEY_ID"):
        open_source(f"s3://{bucket}/none.npy")


def test_folders_and_patterns_mean_what_they_mean_on_a_disk(bucket, s3, tmp_path):
    names = ["b.npy", "a.npy", "night/c.npy", "night/deep/d.npy", "notes.txt", ".hidden.npy", "night/e.npy", "Z.npy"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=b"12345")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    for below in ("", "/*", "/**/*.npy", "/n*/*.npy", "/[ab].npy", "/**/d.npy", "/a.npy", "/night"):
        there, here = recordings(f"s3://{bucket}/in{below}"), recordings(f"{tmp_path}{below}")
        assert [(one.name, one.nbytes) for one in there] == [(one.name, one.nbytes) for one in here]
        places = [str(one.path).removeprefix(f"s3://{bucket}/in") for one in there]
        assert places == [str(one.path).removeprefix(str(tmp_path)) for one in here]
    with pytest.raises(DataError, match="no file matches"):
        recordings(f"s3://{bucket}/in/*.parquet")
    with pytest.raises(DataError, match="no such file"):
        recordings(f"s3://{bucket}/none")


def test_long_listings_come_by_pages(bucket, s3, monkeypatch):
    from bridgeflow.io.stores import s3 as module

    for number in range(25):
        s3.put_object(Bucket=bucket, Key=f"many/{number:02d}.npy", Body=b"1")
    call = module.S3Store._call

    async def short(self, url, method, **options):
        if "MaxKeys" in options:
            options["MaxKeys"] = 10
        return await call(self, url, method, **options)

    monkeypatch.setattr(module.S3Store, "_call", short)
    assert [one.name for one in recordings(f"s3://{bucket}/many")] == [f"{number:02d}" for number in range(25)]


def test_a_folder_is_read_as_one(bucket):
    for number in range(3):
        put(f"s3://{bucket}/in/{number}.parquet", ROWS[number * 100 : number * 100 + 100])
    for path in (f"s3://{bucket}/in", f"s3://{bucket}/in/", f"s3://{bucket}/in/*.parquet"):
        with open_source(path) as source:
            assert [part.name for part in source.parts] == ["0", "1", "2"]
            assert np.array_equal(np.asarray(source.read()["ecg"]), ROWS[:300])
