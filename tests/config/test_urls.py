"""URLs in a configuration: none that its caller does not allow, with the place where it is written."""

import sys
from pathlib import Path

import pytest

from bridgeflow.config import load_job, parse_job
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.io.urls import UrlPath, as_path

JOB = """\
version: 1
source: {parquet: IN, fs: 360}
sink: {parquet: OUT}
"""


def job(source="in.parquet", sink="out.parquet", roots=None, output_roots=None, tmp_path="/data"):
    roots, output_roots = (None if one is None else (Path("/data"), *one) for one in (roots, output_roots))
    text = JOB.replace("IN", source).replace("OUT", sink)
    return parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=roots, output_roots=output_roots)


def urls(*texts):
    return tuple(map(as_path, texts))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("s3://bucket/in.parquet", []),
        ("s3://bucket/in.parquet", ["s3://other/", "/data"]),
        ("s3://bucket/in.parquet", ["s3://bucket/input"]),
        ("s3://bucket2/in.parquet", ["s3://bucket"]),
        ("https://host/in.parquet", ["http://host/"]),
        ("https://host:8443/in.parquet", ["https://host/"]),
        ("https://host.evil/in.parquet", ["https://host/"]),
        ("memory://host/in.parquet", ["s3://host/"]),
    ],
    ids=range(8),
)
def test_a_url_needs_a_root(url, allowed):
    for roots in (None, urls(*allowed)) if not allowed else (urls(*allowed),):
        with pytest.raises(
            ConfigError, match=r"job.yaml:2:19: source.parquet: .* is a URL that no root allows; .*--root"
        ):
            job(source=url, roots=roots)
        with pytest.raises(
            ConfigError, match=r"job.yaml:3:17: sink.parquet: .* no output root allows; .*--output-root"
        ):
            job(sink=url.replace("in.", "out."), roots=(), output_roots=roots)


def test_what_is_allowed_is_a_url_in_the_job():
    pytest.importorskip("s3fs")
    one = job("s3://bucket/in/*.parquet", "s3://bucket/out/", urls("s3://bucket/in"), urls("s3://bucket/out"))
    assert isinstance(one.source.path, UrlPath)
    assert (str(one.source.path), str(one.sink.path)) == ("s3://bucket/in/*.parquet", "s3://bucket/out")
    assert one.sink.shards


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://user:secret@host/a.parquet", "has credentials"),
        ("https://host/a.parquet?X-Amz-Signature=secret", "what follows .* may be a signature"),
        ("s3://bucket/../secret-bucket/a.parquet", "has empty parts, . or .."),
        ("s3://bucket/$HOME/a.parquet", "a variable"),
        ("s3://bucket/~/a.parquet", "a home"),
        ("simplecache::s3://bucket/a.parquet", "is a chain of URLs"),
        ("filecache::file:///etc/passwd", "is a chain of URLs"),
    ],
    ids=range(7),
)
def test_what_no_root_helps(url, message):
    roots = urls("https://host/", "s3://bucket/")
    for place in ({"source": url}, {"sink": url}):
        with pytest.raises(ConfigError, match=rf"job.yaml:\d:\d+: .*({message}|has no place in)") as caught:
            job(**place, roots=roots, output_roots=roots)
        assert "secret@" not in str(caught.value)
        assert "Signature" not in str(caught.value)


def test_outputs_go_into_no_hidden_folder_and_no_web_server():
    roots = urls("s3://bucket/", "https://host/")
    with pytest.raises(ConfigError, match=r"job.yaml:3:17: .* got '\.ssh'"):
        job(sink="s3://bucket/.ssh/a.parquet", output_roots=roots)
    pytest.importorskip("aiohttp")
    with pytest.raises(ConfigError, match="a web server is read-only"):
        job(sink="https://host/a.parquet", output_roots=roots)


def test_a_file_url_is_a_path_and_lies_beneath_the_roots(tmp_path):
    url = f"file://{tmp_path}/in.parquet"
    assert job(source=url, roots=(tmp_path,), tmp_path=tmp_path).source.path == tmp_path / "in.parquet"
    with pytest.raises(ConfigError, match="lies outside of"):
        job(source="file:///etc/passwd", roots=(tmp_path,), tmp_path=tmp_path)


def test_roots_that_are_urls_leave_the_folders_as_they_are(tmp_path, monkeypatch):
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("IN", "in.parquet").replace("OUT", "out.parquet"))
    there = load_job(path, roots=["s3://bucket/"], output_roots=["s3://bucket/out"])
    assert tmp_path in there.roots
    assert as_path("s3://bucket") in there.roots
    assert tmp_path in there.output_roots
    only = load_job(path, roots=[tmp_path, "s3://bucket/"])
    assert only.roots == (tmp_path, as_path("s3://bucket"))
    with pytest.raises(ConfigError, match="lies outside of"):
        load_job(path, roots=[])


def test_pictures_tables_and_statistics_are_files(tmp_path):
    report = (
        JOB.replace("IN", "a.parquet").replace("OUT", "b.parquet") + "report: {png: 's3://bucket/a.png', column: x}\n"
    )
    roots = (tmp_path, *urls("s3://bucket/"))
    with pytest.raises(ConfigError, match=r"report.png: a path is taken as it is written, so a URL has no place in"):
        parse_job(report.encode(), name="job.yaml", folder=tmp_path, roots=roots, output_roots=roots)
    table = "version: 1\nsource: {table: 's3://bucket/a.csv'}\nsink: {parquet: out/}\n"
    with pytest.raises(ConfigError, match=r"source.table: a path is taken as it is written, so a URL has no place in"):
        parse_job(table.encode(), name="job.yaml", folder=tmp_path, roots=roots, output_roots=roots)


def test_a_job_stays_within_its_roots_when_it_is_redirected(web, tmp_path):
    from bridgeflow.errors import StoreError

    web.redirects["/a.npy"] = f"http://localhost:{web.server_port}/b.npy"
    web.files["/b.npy"] = b"\x93NUMPY"
    text = f"version: 1\nsource: {{npy: '{web.url}/a.npy', fs: 360}}\nsink: {{npy: out.npy}}\n"
    job = parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=urls(web.url), output_roots=(tmp_path,))
    with pytest.raises(
        StoreError, match=r"job.yaml:2:15: .*redirected to http://localhost:\d+/b.npy, which is not allowed"
    ):
        job.open()


def test_tables_and_indexes_name_no_urls_of_their_own(web, tmp_path):
    from bridgeflow.recordings import Recordings

    np = pytest.importorskip("numpy")
    np.save(tmp_path / "a.npy", np.zeros(100, np.float32))
    web.files["/a.npy"] = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "t.csv").write_text(f"path\n{web.url}/a.npy\n")
    Recordings(f"{web.url}/a.npy", fs=100).save(tmp_path / "i.arrow")
    web.requests.clear()
    window = "transforms: [{Window: {length: 10}}]\nsink: {parquet: out/}\n"
    for source in ("table: t.csv, fs: 100", "index: i.arrow"):
        text = f"version: 1\nsource: {{{source}}}\n{window}"
        job = parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path,), output_roots=(tmp_path,))
        with pytest.raises(DataError, match=r"lies outside of|no root allows"):
            job.opened  # noqa: B018
        assert not web.requests
        job = parse_job(
            text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path, *urls(web.url)), output_roots=(tmp_path,)
        )
        assert len(job.opened) == 1
        web.requests.clear()


def test_refusing_a_url_imports_nothing():
    import subprocess

    code = """if True:
        import sys
        from bridgeflow.config import parse_job
        from bridgeflow.errors import ConfigError
        try:
            parse_job(b"version: 1\\nsource: {npy: 's3://bucket/a.npy'}\\nsink: {npy: b.npy}\\n", name="x", folder="/")
        except ConfigError as error:
            assert "no root allows" in str(error), error
        assert not {"fsspec", "s3fs", "aiohttp"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
