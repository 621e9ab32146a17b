"""Configurations: what a job says, and where each mistake stands."""

# ruff: noqa: E501  (tables read better unbroken)

import pickle
import textwrap
from pathlib import Path

import numpy as np
import pytest

from bridgeflow.config import load_job, parse_job
from bridgeflow.engines.local import run_job
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, NonFinite
from bridgeflow.io import open_sink
from bridgeflow.transforms import Cast, Scale

JOB = """\
version: 1
source: {parquet: in.parquet, columns: [ecg], fs: 360}
transforms:
  - Scale: {keys: [ecg], scale: 0.005}
sink: {parquet: out.parquet}
"""


def parse(text, **options):
    return parse_job(textwrap.dedent(text).encode(), name="job.yaml", folder="/data", **options)


def refusal(text, **options):
    with pytest.raises(ConfigError) as caught:
        parse(text, **options)
    error = caught.value
    assert str(error).startswith(f"job.yaml:{error.line}:{error.column}: ")
    return f"{error.line}:{error.column}: {str(error).partition(': ')[2]}"


def test_a_job():
    job = parse(JOB)
    assert (job.source.path, job.source.format, job.source.columns, job.source.fs) == (
        Path("/data/in.parquet"), "parquet", ("ecg",), 360,
    )  # fmt: skip
    assert job.transform.stages == (Scale(keys=("ecg",), scale=0.005),)
    assert (job.sink.path, job.sink.format, job.sink.compression) == (Path("/data/out.parquet"), "parquet", None)
    assert job.report is None
    assert job.places["transforms", 0] == ("job.yaml", 4, 5, "transforms[0]")
    assert str(job.places["source", "columns", 0]) == "job.yaml:2:41: source.columns[0]"


def test_every_section_in_full():
    job = parse("""
        version: 1
        source: {npy: a.npy, columns: [lead], fs: 250.5, nulls: keep}
        transforms:
          - Clone
          - Cast: {dtype: float64}
          - Detach:
          - Compose: {stages: [{Scale: {scale: 2}}, Clone]}
        sink: {arrow: sub/b.arrow, compression: zstd}
        report: {column: lead, before: Cast, hum: 50, unit: µV, png: c.png, seconds: [1, 2.5]}
        """)
    assert [type(stage).__name__ for stage in job.transform.stages] == ["Clone", "Cast", "Detach", "Compose"]
    assert job.transform.stages[1] == Cast(dtype="float64")
    assert job.transform.stages[3].stages[0] == Scale(scale=2.0)
    assert job.report.seconds == (1.0, 2.5)
    assert job.report.png == Path("/data/c.png")
    assert job.sink.compression == "zstd"


def test_transforms_may_be_left_out():
    assert parse("version: 1\nsource: {npy: a.npy}\nsink: {npy: b.npy}").transform.stages == ()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("version: 1", "version: 2", "1:10: version: expected 1, got 2"),
        ("version: 1", "version: true", "1:10: version: expected 1, got True"),
        ("version: 1", "version: '1'", "1:10: version: expected 1, got '1'"),
        ("version: 1", "version: 1.0", "1:10: version: expected 1, got 1.0"),
        ("version: 1\n", "", "1:1: the key 'version' is missing"),
        ("sink:", "snik:", "5:1: snik: unknown key 'snik'; did you mean 'sink'?"),
        ("sink: {parquet: out.parquet}\n", "", "1:1: the key 'sink' is missing"),
        ("{parquet: out.parquet}", "", "5:6: sink: expected a map such as `{parquet: out.parquet}`, got nothing"),
        ("{parquet: out.parquet}", "out.parquet", "5:7: sink: expected a map such as"),
        ("sink: {parquet:", "sink: {parket:", "5:8: sink.parket: unknown key 'parket'; did you mean 'parquet'?"),
        ("sink: {parquet: out.parquet}", "sink: {}", "5:7: sink: names no format; one of arrow, arrow_stream, npy, npz, parquet, wav, webdataset takes"),
        ("sink: {parquet: out.parquet}", "sink: {parquet: a, arrow: b}", "5:20: sink.arrow: names parquet and arrow; a sink is one file"),
        ("sink: {parquet: out.parquet}", "sink: {parquet: [a]}", "5:17: sink.parquet: expected a path, got a list of 1"),
        ("sink: {parquet: out.parquet}", "sink: {parquet: ''}", "5:17: sink.parquet: expected a path of 1 to 1024 characters, got 0"),
        ("out.parquet}", "out.parquet, overwrite: true}", "5:30: sink.overwrite: unknown key 'overwrite'"),
        ("out.parquet}", "out.parquet, compression: gzip}", "5:43: sink.compression: expected 'none', 'lz4', 'snappy' or 'zstd', got 'gzip'"),
        ("out.parquet}", "out.parquet, compression: lz4}", "5:43: sink.compression: parquet takes 'zstd' or 'snappy' or 'none', got 'lz4'"),
        ("columns: [ecg]", "columns: ecg", "2:40: source.columns: expected a list, got 'ecg'"),
        ("columns: [ecg]", "columns: []", "2:40: source.columns: expected a list of at least 1, got an empty list"),
        ("columns: [ecg]", "columns: [ecg, 1]", "2:46: source.columns[1]: expected text, got 1"),
        ("columns: [ecg]", "column: [ecg]", "2:31: source.column: unknown key 'column'; did you mean 'columns'?"),
        ("fs: 360", "fs: 0", "2:51: source.fs: expected a number above 0, got 0"),
        ("fs: 360", "fs: -360", "2:51: source.fs: expected a number above 0, got -360"),
        ("fs: 360", "fs: '360'", "2:51: source.fs: expected a number, got '360'"),
        ("fs: 360", "fs: true", "2:51: source.fs: expected a number, got True"),
        ("fs: 360", "fs: 1e13", "2:51: source.fs: expected a number of at most 1e+12, got 10000000000000.0"),
        ("fs: 360", "nulls: nan", "2:54: source.nulls: expected 'error' or 'keep', got 'nan'"),
        ("- Scale:", "- Scael:", "4:5: transforms[0]: there is no transform 'Scael'; did you mean 'Scale'?"),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- os.system", "4:5: transforms[0]: there is no transform 'os.system'"),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- 5", "4:5: transforms[0]: expected `Name: {field: value}`, got 5"),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- {Scale: , Cast: }", "4:5: transforms[0]: expected `Name: {field: value}`, got a map of 2"),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- Scale: 3", "4:12: transforms[0].Scale: expected a map of fields, got 3"),
        ("  - Scale: {keys: [ecg], scale: 0.005}", "  Scale: {}", "4:3: transforms: expected a list of transforms, got a map of 1"),
        ("scale: 0.005", "scael: 0.005", "4:26: transforms[0].Scale.scael: Scale has no field 'scael'; did you mean 'scale'?"),
        ("scale: 0.005", "scale: five", "4:33: transforms[0].Scale.scale: Input should be a valid number; got 'five'"),
        ("scale: 0.005", "scale: true", "4:33: transforms[0].Scale.scale: Input should be a valid number; got True"),
        ("scale: 0.005", "dtype: float12", "4:33: transforms[0].Scale.dtype: "),
        ("keys: [ecg]", "keys: 3", "4:19: transforms[0].Scale.keys: "),
        ("keys: [ecg]", "keys: ['a[']", "4:19: transforms[0].Scale.keys: "),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- Cast", "4:5: transforms[0].Cast: Cast needs the field 'dtype'"),
        ("- Scale: {keys: [ecg], scale: 0.005}", "- Cast: {}", "4:11: transforms[0].Cast: Cast needs the field 'dtype'"),
        ("- Scale:", "- Compose: {stages: [Clone, Scael]} #", "4:31: transforms[0].Compose.stages[1]: there is no transform 'Scael'"),
        ("- Scale:", "- Compose: {steps: []} #", "4:14: transforms[0].Compose: Compose has one field: stages"),
    ],
)  # fmt: skip
def test_mistakes_and_their_places(before, after, problem):
    assert before in JOB
    assert refusal(JOB.replace(before, after)).startswith(problem)


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        ("[]", "6:9: report: expected a map, got an empty list"),
        ("{before: Scael}", "6:18: report.before: there is no stage 'Scael'; did you mean 'Scale'?"),
        ("{hum: 0}", "6:15: report.hum: expected a number above 0, got 0"),
        ("{hum: loud}", "6:15: report.hum: expected a number, got 'loud'"),
        ("{seconds: [1]}", "6:19: report.seconds[1]: expected a list of more"),
        ("{seconds: [3, 1]}", "6:19: report.seconds: must go forward, got [3.0, 1.0]"),
        ("{seconds: [-3, 1]}", "6:20: report.seconds[0]: expected a number of at least 0, got -3"),
        ("{png: $HOME/x.png}", "6:15: report.png: a path is taken as it is written, so $ (a variable) has no place"),
        ("{pgn: x.png}", "6:10: report.pgn: unknown key 'pgn'; did you mean 'png'?"),
    ],
)
def test_mistakes_in_reports(report, problem):
    assert refusal(f"{JOB}report: {report}\n").startswith(problem)


FILTER = """\
version: 1
source: {parquet: in.parquet, fs: 360}
transforms:
  - SignalFilter:
      design: butter
      order: 4
      btype: bandpass
      cutoff: [0.5, 40]
sink: {parquet: out.parquet}
"""


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("[0.5, 40]", "[0.5, 400]", "8:15: transforms[0].SignalFilter.cutoff: Butter: cutoff=400 Hz must lie below fs/2 = 180 Hz"),
        ("[0.5, 40]", "[40, 0.5]", "8:15: transforms[0].SignalFilter.cutoff: "),
        ("[0.5, 40]", "[]", "8:15: transforms[0].SignalFilter.cutoff: "),
        ("order: 4", "order: -4", "6:14: transforms[0].SignalFilter.order: "),
        ("order: 4", "order: 1000000000000", "6:14: transforms[0].SignalFilter.order: order must be from 1 to 500, got 1000000000000"),
        ("order: 4", "order: true", "6:14: transforms[0].SignalFilter.order: "),
        ("design: butter", "design: buter", "5:15: transforms[0].SignalFilter.design: "),
        ("design: butter", "desing: butter", "5:7: transforms[0].SignalFilter.desing: SignalFilter has no field 'desing'; did you mean 'design'"),
        ("btype: bandpass", "btype: band", "7:14: transforms[0].SignalFilter.btype: "),
        ("order: 4", "order: 4\n      fs: 50", "transforms[0].SignalFilter"),
    ],
)  # fmt: skip
def test_mistakes_in_filters(before, after, problem):
    assert before in FILTER
    assert problem in refusal(FILTER.replace(before, after))


def test_the_rate_comes_from_the_source_or_its_file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(FILTER.replace(", fs: 360", ""))
    with open_sink(tmp_path / "in.parquet") as sink:
        sink.write({"ecg": np.zeros(10)})
    with pytest.raises(ConfigError, match=r"job.yaml:4:5: .*fs is missing.*; or say it once, as `fs` of the source"):
        load_job(path)
    with open_sink(tmp_path / "in.parquet", overwrite=True, settings={"fs": 100}) as sink:
        sink.write({"ecg": np.zeros(10)})
    assert load_job(path).transform.stages[0].fs == 100
    path.write_text(FILTER)
    assert load_job(path).transform.stages[0].fs == 360
    path.write_text(FILTER.replace("order: 4", "order: 4\n      fs: 200"))
    assert load_job(path).transform.stages[0].fs == 200


@pytest.mark.parametrize("path", ["~/x", "$HOME/x", "${oc.env:SECRET}", "$(id)", "*", "**/x", "x?"])
def test_paths_are_not_expanded(path):
    assert "a path is taken as it is written" in refusal(JOB.replace("out.parquet", repr(path)))


@pytest.mark.parametrize("path", ["http://x/y.parquet", "s3://x/y.parquet"])
def test_urls_are_not_written_to_unless_the_caller_allows_it(path):
    assert "is a URL that no output root allows" in refusal(JOB.replace("out.parquet", repr(path)))


def test_paths_lie_beneath_the_roots(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "way_out").symlink_to("/etc")
    options = {"folder": tmp_path / "job", "roots": (tmp_path / "job",), "name": "job.yaml"}
    for path in ("../x.pq", "/etc/x.pq", "a/../../x.pq", "way_out/x.pq", "//etc/x.pq", "./../job_too/x.pq"):
        with pytest.raises(
            ConfigError, match=r"job.yaml:5:17: sink.parquet: .* lies outside of .*/job; .* --output-root"
        ):
            parse_job(JOB.replace("out.parquet", path).encode(), **options)
        with pytest.raises(ConfigError, match=r"job.yaml:2:19: source.parquet: .* lies outside of .*/job; .* --root"):
            parse_job(JOB.replace("in.parquet", path).encode(), **options)
    for path in ("x.pq", "a/b.pq", f"{tmp_path}/job/x.pq", "a/../x.pq"):
        assert parse_job(JOB.replace("out.parquet", path).encode(), **options)
        assert parse_job(JOB.replace("in.parquet", path).encode(), **options)


# --- where outputs may go ---


@pytest.mark.parametrize(
    ("key", "suffixes", "others"),
    [
        ("sink: {npy: %s}", [".npy", ".NPY"], [".npz", ".parquet", ".pth", ".py", "", ".npy.pth", ".npy.", ".npy "]),
        ("sink: {npz: %s}", [".npz"], [".npy", ".zip", ".so"]),
        ("sink: {wav: %s}", [".wav", ".WAVE", ".rf64"], [".pth", ".mp3"]),
        ("sink: {arrow: %s}", [".arrow", ".feather"], [".arrows", ".desktop"]),
        ("sink: {parquet: %s}", [".parquet", ".pq"], [".yaml", ".html"]),
        ("sink: {npy: o.npy}\nreport: {hum: 50, png: %s}", [".png", ".PNG"], [".svg", ".pth", "", ".npy"]),
    ],
)
def test_an_output_has_a_suffix_of_its_format(key, suffixes, others):
    text = "version: 1\nsource: {npy: in.npy, fs: 1000}\n" + key
    for suffix in suffixes:
        assert parse(text % repr(f"out{suffix}"))
    for suffix in others:
        assert " end in ." in refusal(text % repr(f"out{suffix}"))


@pytest.mark.parametrize(
    "path",
    [".out.npy", ".git/hooks/out.npy", "a/.ssh/out.npy", "lib/site-packages/x.npy", "dist-packages/x.npy", "a/../.x.npy",
     "Site-Packages/x.npy", "__pycache__/x.npy", ".a/", "a/.b/", "site-packages/"],
)  # fmt: skip
@pytest.mark.parametrize("roots", [None, (Path("/data"),)])
def test_no_output_is_hidden_or_among_installed_packages(path, roots):
    text = f"version: 1\nsource: {{npy: in.npy, fs: 9}}\nsink: {{npy: {path}}}"
    assert "3:13: sink.npy: outputs go into no hidden file or folder" in refusal(text, roots=roots)
    if not path.endswith("/"):
        text = f"version: 1\nsource: {{npy: in.npy, fs: 9}}\nsink: {{npy: o.npy}}\nreport: {{png: {path[:-3]}png}}"
        assert "4:15: report.png: outputs go into no hidden file or folder" in refusal(text, roots=roots)


def test_links_into_hidden_folders_are_followed(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "results").symlink_to(".git")
    text = "version: 1\nsource: {npy: in.npy}\nsink: {npy: results/x.npy}\n"
    with pytest.raises(ConfigError, match=r"job.yaml:3:13: sink.npy: 'results/x.npy' lies in '.git'"):
        parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path,))


def test_a_link_made_after_the_check_is_followed_too(tmp_path):
    job = saved(tmp_path, sink="{npz: results/out.npz}")
    (tmp_path / ".git").mkdir()
    (tmp_path / "results").symlink_to(".git")
    with pytest.raises(DataError, match=r"job.yaml:5:13: sink.npz: .* lies in '.git'"):
        run_job(job)
    assert list((tmp_path / ".git").iterdir()) == []


def test_folders_for_reading_are_not_for_writing(tmp_path, monkeypatch):
    for name in ("configs", "data", "here", ".hidden"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "configs" / "job.yaml"
    for sink, fits in {
        "out.npy": True, "../here/a/out.npy": True, "../data/out.npy": False, "../out.npy": False, "../data/a/": False,
    }.items():  # fmt: skip
        path.write_text(f"version: 1\nsource: {{npy: ../data/in.npy}}\nsink: {{npy: {sink}}}\n")
        if fits:
            assert load_job(path, roots=[tmp_path])
        else:
            with pytest.raises(ConfigError, match=r"lies outside of .*; allow another folder with --output-root"):
                load_job(path, roots=[tmp_path])
        assert load_job(path, roots=[tmp_path], output_roots=[tmp_path / "configs", tmp_path])


def test_a_hidden_folder_is_for_outputs_only_where_it_is_named(tmp_path, monkeypatch):
    hidden = tmp_path / ".hidden"
    hidden.mkdir()
    monkeypatch.chdir(hidden)
    (hidden / "job.yaml").write_text("version: 1\nsource: {npy: in.npy}\nsink: {npy: out.npy}\n")
    with pytest.raises(ConfigError, match=r"every folder for outputs .hidden ones are none.*--output-root"):
        load_job("job.yaml")
    assert load_job("job.yaml", output_roots=["."])


def test_the_folders_of_caller_and_file_are_the_roots(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "configs" / "job.yaml"
    path.write_text(JOB.replace("in.parquet", "../data/in.parquet"))
    monkeypatch.chdir(tmp_path)
    assert load_job("configs/job.yaml").source.path == tmp_path / "configs/../data/in.parquet"
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="lies outside of"):
        load_job(path)
    assert load_job(path, roots=[tmp_path]).roots == (tmp_path,)


def test_a_configuration_that_cannot_be_opened(tmp_path):
    for path, problem in [
        (tmp_path / "none.yaml", "no such file"),
        (tmp_path, "is a folder"),
        ("/dev/zero", "is a device"),
    ]:
        with pytest.raises(DataError, match=problem):
            load_job(path)


# --- many recordings, folders of shards ---


FOLDERS = JOB.replace("in.parquet", "recordings").replace("out.parquet", "shards/, shard_rows: 500")


def test_a_slash_at_the_end_of_the_sink_means_a_folder_of_shards():
    job = parse(FOLDERS + "threads: 3\n")
    assert (job.sink.shards, job.sink.shard_rows, job.threads) == (True, 500, 3)
    assert job.sink.path == Path("/data/shards")
    plain = parse(JOB)
    assert (plain.sink.shards, plain.sink.shard_rows, plain.threads) == (False, None, None)


@pytest.mark.parametrize("path", ["a/*.parquet", "**/x?.parquet", "a/[ab].parquet"])
def test_the_path_of_a_source_may_be_a_pattern(path):
    assert parse(FOLDERS.replace("recordings", repr(path))).source.path == Path("/data", path)


def test_how_rows_are_read_and_written():
    text = JOB.replace("fs: 360", "fs: 360, rows: instants").replace(
        "out.parquet", "out.parquet, dtype: int16, on_overflow: saturate"
    )
    job = parse(text)
    assert (job.source.rows, job.sink.dtype, job.sink.on_overflow) == ("instants", "int16", "saturate")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("shard_rows: 500", "shard_rows: 0", "sink.shard_rows: expected a number of at least 1, got 0"),
        ("shard_rows: 500", "shard_rows: 1.5", "sink.shard_rows: expected a whole number, got 1.5"),
        ("shard_rows: 500", "shard_rows: true", "sink.shard_rows: expected a whole number, got True"),
        ("shards/", "shards", "sink.shard_rows: is for a folder of shards, whose path ends with a slash; 'shards' is one"),
        ("shards/", "sh*rds/", "a path is taken as it is written, so * (a pattern) has no place"),
        ("threads: 2", "threads: 0", "threads: expected a number from 1 to 256, got 0"),
        ("threads: 2", "threads: two", "threads: expected a number from 1 to 256, got 'two'"),
        ("threads: 2", "threads: true", "threads: expected a number from 1 to 256, got True"),
        ("shards/, shard_rows: 500", "out.parquet", "threads: threads work on several recordings side by side"),
        ("fs: 360", "fs: 360, rows: samples", "source.rows: expected 'instants' or 'examples', got 'samples'"),
        ("shard_rows: 500", "dtype: int17", "sink.dtype: expected "),
        ("shard_rows: 500", "on_overflow: wrap", "sink.on_overflow: expected 'raise' or 'saturate', got 'wrap'"),
    ],
)  # fmt: skip
def test_mistakes_about_folders(before, after, problem):
    text = FOLDERS + "threads: 2\n"
    assert text.count(before) == 1
    assert problem in refusal(text.replace(before, after))


def test_the_first_of_many_recordings_says_the_rate(tmp_path):
    for name, rate in (("a", 100), ("b", 200)):
        with open_sink(tmp_path / "in" / f"{name}.parquet", settings={"fs": rate}) as sink:
            sink.write({"ecg": np.zeros(10)})
    text = FILTER.replace("fs: 360", "").replace("in.parquet, ", "in/").replace("out.parquet", "out/")
    path = tmp_path / "job.yaml"
    path.write_text(text)
    assert load_job(path).transform.stages[0].fs == 100


def test_recordings_that_links_bring_in_from_beyond_the_roots_are_refused(tmp_path):
    (tmp_path / "job" / "in").mkdir(parents=True)
    (tmp_path / "secret.parquet").write_bytes(b"PAR1")
    (tmp_path / "job" / "in" / "a.parquet").symlink_to(tmp_path / "secret.parquet")
    options = {"folder": tmp_path / "job", "roots": (tmp_path / "job",), "name": "job.yaml"}
    for source in ("in", "in/*.parquet"):
        job = parse_job(JOB.replace("in.parquet", source).replace("out.parquet", "out/").encode(), **options)
        with pytest.raises(DataError, match="lies outside of"):
            job.recordings()


# --- places of what is found after parsing ---


def saved(folder, *, source="{npz: in.npz, fs: 100}", stages=("Clone",), sink="{npz: out.npz}", more="", **columns):
    """A job on a file of these columns, loaded."""
    np.savez(folder / "in.npz", **(columns or {"ecg": np.zeros(400)}))
    lines = ["version: 1", f"source: {source}", "transforms:", *(f"  - {stage}" for stage in stages), f"sink: {sink}"]
    (folder / "job.yaml").write_text("\n".join([*lines, more]) + "\n")
    return load_job(folder / "job.yaml", roots=[folder])


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"source": "{npz: none.npz}"}, "2:15: source.npz: "),
        ({"source": "{npz: none.npz}", "stages": ["PeakRate"]}, "2:15: source.npz: "),
        ({"source": "{npz: in.npz, columns: [ecg, egc]}"}, "2:38: source.columns[1]: "),
        ({"source": "{npz: in.npz, fs: 250}", "ecg": np.zeros(400), "fs": np.array(100.0)}, "2:27: source.fs: "),
        ({"source": "{npy: in.npz}"}, "2:15: source.npy: "),
        ({"a": np.zeros(4), "b": np.zeros(5)}, "2:15: source.npz: "),
        ({"stages": ["Clone", "Scale: {keys: [egc]}"]}, "5:5: stage 2 (Scale): "),
        ({"stages": ["Compose: {stages: [Clone, Scale: {keys: [egc]}]}"]}, "4:31: stage 1.2 (Scale): "),
        ({"stages": ["SignalFilter: {design: notch, w0: 50, Q: 30, fs: 300}"]}, "4:54: stage 1 (SignalFilter), $.ecg: "),
        ({"stages": ["ToTensor: {copy: auto, device: 'cuda:4096'}"]}, "4:36: stage 1 (ToTensor), $.ecg: "),
        ({"stages": ["ToTensor: {device: gpu}"]}, "4:24: stage 1 (ToTensor), $.ecg: "),
        ({"stages": ["ToTensor", "ToDevice: {device: 'cuda:99999999999'}"]}, "5:24: stage 2 (ToDevice), $.ecg: "),
        ({"more": "report: {column: egc, hum: 50}"}, "6:18: report.column: "),
        ({"more": "report: {hum: 50}", "a": np.zeros(4), "b": np.zeros(4)}, "6:9: report: "),
        ({"sink": "{npz: in.npz}"}, "5:13: sink.npz: "),
        ({"more": "report: {png: in.npz}"}, "6:15: report.png: "),
    ],
)  # fmt: skip
def test_what_opening_and_planning_find_has_its_place(tmp_path, options, place):
    def checked():
        job = saved(tmp_path, **options)
        job.check_outputs()
        with job.open() as source:
            job.plan(source)

    with pytest.raises(BridgeflowError) as caught:
        checked()
    assert str(caught.value).partition("job.yaml:")[2].startswith(place)


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ("Decimate: {q: 0}", 19),
        ("Resample: {from_hz: 100, to_hz: -5}", 37),
        ("SignalFilter: {design: butter, cutoff: 20, order: 0}", 55),
        ("SignalFilter: {nonfinite: raise, sos: [[1, 0, 0, 1, -3, 1]]}", 43),
        ("SignalFilter: {nonfinite: raise, ba: [[1], [0, 1]]}", 42),
        ("SignalFilter: {mode: zero_phase, initial: steady, design: notch, w0: 5, Q: 3}", 47),
        ("Window: {length: 0}", 22),
        ("Scale: {scale: 1, keys: ['[']}", 29),
        ("Scipy: {function: signal.medfilt, kernel_size: 4}", 52),
        ("SavgolFilter: {window_length: 5, polyorder: 7}", 49),
    ],
)
def test_a_value_that_a_transform_refuses_is_found_by_the_field_that_its_error_carries(fields, column):
    assert refusal(JOB.replace("Scale: {keys: [ecg], scale: 0.005}", fields)).startswith(f"4:{column}: ")


def test_the_class_of_an_error_stays_what_it_is(tmp_path):
    job = saved(tmp_path, stages=["SignalFilter: {design: notch, w0: 20, Q: 5}"], ecg=np.full(400, np.nan))
    with pytest.raises(NonFinite, match=r"job.yaml:4:5: stage 1 \(SignalFilter\), \$.ecg: ") as caught:
        run_job(job)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.location) == (str(caught.value), caught.value.location)


@pytest.mark.parametrize("way", ["file", "nowhere", "round"])
@pytest.mark.parametrize("below", ["", "new/"])
def test_an_output_lies_in_folders_alone(tmp_path, way, below):
    """Neither in a file nor in a link that leads to no folder, as `check` says too."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "round").symlink_to("round")
    for sink in (f"{{npz: {way}/{below}out.npz}}", f"{{arrow: {way}/{below}}}"):
        text = f"version: 1\nsource: {{npz: in.npz}}\ntransforms: []\nsink: {sink}\n"
        if sink == f"{{arrow: {way}/}}":
            continue  # the folder itself, which the job looks at
        with pytest.raises(ConfigError, match="is not a folder"):
            parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path,))


@pytest.mark.parametrize("name", ["a" * 300 + ".npz", "ü" * 130 + ".npz", "a" * 250 + "/out.npz"])
def test_names_too_long_for_a_file_system_are_refused(tmp_path, name):
    for source, sink in ((name, "out.npz"), ("in.npz", name)):
        text = f"version: 1\nsource: {{npz: {source}}}\ntransforms: []\nsink: {{npz: {sink}}}\n"
        with pytest.raises(ConfigError, match=r"a name of [0-9]+ bytes"):
            parse_job(text.encode(), name="job.yaml", folder=tmp_path, roots=(tmp_path,))
