"""Jobs over recordings: the shards that they write, what they refuse, and where."""

# ruff: noqa: E501  (tables read better unbroken)

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from bridgeflow import Compose, EventLabels, EventWindow, Recordings, Scale, SignalDataset, SignalFilter, Window
from bridgeflow.cli.app import app
from bridgeflow.config import load_job
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import BridgeflowError, ConfigError, DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.windows_job import WindowsJob

edfio = pytest.importorskip("edfio")


def write_edf(path, seconds, fs=100, seed=0, events=()):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [edfio.EdfSignal(rng.normal(size=fs * seconds), fs, label=one) for one in ("Fp1", "Fp2", "ECG")]
    annotations = [edfio.EdfAnnotation(*one) for one in events]
    edfio.Edf(signals, annotations=annotations).write(path)


@pytest.fixture
def folder(tmp_path):
    for number, seconds in enumerate((30, 21, 1)):
        events = [(1.0, 2.0, "spike"), (11.0, 0.5, "noise"), (15.0, 4.0, "spike")] if number < 2 else []
        write_edf(tmp_path / "data" / f"S{number}" / "night.edf", seconds, seed=number, events=events)
    (tmp_path / "configs").mkdir()
    return tmp_path


SOURCE = r"recordings: ../data/*/*.edf, channels: [Fp2, Fp1], units: physical, group: '(?P<subject>S\d+)/'"
BAND = "SignalFilter: {design: butter, btype: bandpass, cutoff: [1, 30], order: 2, mode: zero_phase}"
JOB = """\
version: 1
source: {%s}
transforms:
%s
sink: {%s}
"""


def saved(folder, *stages, source=SOURCE, sink="arrow: ../out/", **options):
    path = folder / "configs" / "job.yaml"
    path.write_text(JOB % (source, "\n".join(f"  - {one}" for one in stages), sink))
    return load_job(path, roots=[folder], output_roots=[folder], **options)


def rows_of(result):
    """The columns of all shards, in order, one dict for each row."""
    rows = []
    for shard in result.shards:
        with open_source(result.path / shard.name) as source:
            columns = source.read()
            rows += [{name: column[n] for name, column in columns.items()} for n in range(source.rows)]
    return rows


def plain(value):
    return value.as_py() if isinstance(value, pa.Scalar) else value


def test_the_shards_of_a_job_are_the_windows_of_a_dataset_bit_for_bit(folder):
    job = saved(folder, BAND, "Window: {length: 2 s, hop: 0.5 s}", "Scale: {keys: [signal], scale: 0.5, dtype: float64}",
                sink="arrow: ../out/, shard_rows: 7")  # fmt: skip
    assert isinstance(job, WindowsJob)
    rows = rows_of(run_shards(job))
    recordings = Recordings(f"{folder}/data/*/*.edf", group=r"(?P<subject>S\d+)/")
    recordings = recordings.pick(["Fp2", "Fp1"]).with_units("physical")
    band = SignalFilter(design="butter", btype="bandpass", cutoff=(1.0, 30.0), order=2, mode="zero_phase", fs=100.0)
    stages = [Window(length="2 s", hop="0.5 s"), Scale(keys=("signal",), scale=0.5, dtype="float64")]
    dataset = SignalDataset(recordings, Compose([band, *stages]))
    assert len(rows) == len(dataset) == 57 + 39
    for row, sample in zip(rows, dataset, strict=True):
        assert np.array_equal(row["signal"], sample["signal"].numpy())
        assert [plain(row[name]) for name in ("recording", "start", "subject")] == [
            sample["recording"], sample["start"], sample["subject"],
        ]  # fmt: skip
    whole = band(recordings[1].columns["signal"].read(0, 2100))  # in one piece, without a dataset
    assert np.array_equal(rows[57 + 3]["signal"], whole[:, 150:350] * 0.5)


def test_events_labels_and_columns(folder):
    source = (
        "recordings: [../data/S0/night.edf, ../data/S1/night.edf], columns: {eeg: 'Fp*', heart: ECG}, units: physical"
    )
    job = saved(folder, "EventWindow: {event: spike, start: -0.5, stop: 1.5, keys: [eeg, heart]}",
                "EventLabels: {classes: [spike, noise], rule: any}", source=source)  # fmt: skip
    rows = rows_of(run_shards(job))
    window = EventWindow(event="spike", start=-0.5, stop=1.5, keys=("eeg", "heart"))
    dataset = SignalDataset(job.opened, Compose([window, EventLabels(classes=("spike", "noise"), rule="any")]))
    assert [plain(row["event"]) for row in rows] == ["spike"] * 4
    assert [int(row["label"]) for row in rows] == [0] * 4
    for row, sample in zip(rows, dataset, strict=True):
        assert row["eeg"].shape == (2, 200)
        assert np.array_equal(row["eeg"], sample["eeg"].numpy())
        assert np.array_equal(row["heart"], sample["heart"].numpy())


def test_a_table_gives_paths_and_labels_of_several_types(folder):
    (folder / "data" / "labels.csv").write_text("file,age,class\nS0/night.edf,40,a\nS1/night.edf,41.5,b\n")
    job = saved(folder, "Window: {length: 500}", source="table: ../data/labels.csv, path: file, channels: ECG")
    rows = rows_of(run_shards(job))
    assert [(plain(row["recording"]), float(plain(row["age"])), plain(row["class"])) for row in rows] == [
        *[("S0_night", 40.0, "a")] * 6, *[("S1_night", 41.5, "b")] * 4,
    ]  # fmt: skip


def test_the_manifest_names_the_part_of_a_split(folder):
    train = Recordings(f"{folder}/data/*/*.edf").split((0.6, 0.4), seed=2)[0]
    train.save(folder / "train.arrow")
    job = saved(folder, "Window: {length: 500}", source="index: ../train.arrow, channels: ECG")
    result = run_shards(job)
    manifest = json.loads((result.path / "manifest.json").read_text())
    assert manifest["configuration"]["source"]["part"] == {
        "name": "part 1 of 2", "split": "split((0.6, 0.4), seed=2)", "parent": train.part.parent,
    }  # fmt: skip
    assert run_shards(job).was_complete


def test_a_job_over_recordings_needs_no_torch(folder):
    saved(folder, BAND, "Window: {length: 2 s}")
    code = f"""
import sys
from bridgeflow import load_job, run_shards
folder = {str(folder)!r}
run_shards(load_job(folder + "/configs/job.yaml", roots=[folder], output_roots=[folder]))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_saved_index(folder):
    Recordings(f"{folder}/data/*/*.edf").save(folder / "index.arrow")
    job = saved(folder, "Window: {length: 500}", source="index: ../index.arrow, channels: ECG")
    assert run_shards(job).rows == 10
    write_edf(folder / "data" / "S0" / "night.edf", 31, seed=7)
    with pytest.raises(DataError, match=r"job.yaml:2:17: source.index: .*changed since its header was read"):
        run_shards(
            saved(folder, "Window: {length: 500}", source="index: ../index.arrow, channels: ECG", sink="arrow: ../x/")
        )


def test_a_stopped_job_goes_on_and_a_complete_one_is_left_alone(folder):
    stages = [BAND, "Window: {length: 300}"]
    whole = run_shards(saved(folder, *stages, sink="arrow: ../whole/, shard_rows: 2"))
    job = saved(folder, *stages, sink="arrow: ../out/, shard_rows: 2")
    calls = {"count": 0}
    columns = WindowsJob.columns

    def counted(self, rows):
        calls["count"] += 1
        if calls["count"] == 4:
            raise DataError("stop here")
        return columns(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowsJob, "columns", counted)
        with pytest.raises(DataError, match="stop here"):
            run_shards(job)
    again = run_shards(saved(folder, *stages, sink="arrow: ../out/, shard_rows: 2"))
    assert again.kept > 0
    assert [(one.name[:40], one.sha256) for one in again.shards] == [
        (one.name[:40], one.sha256) for one in whole.shards
    ]
    assert run_shards(saved(folder, *stages, sink="arrow: ../out/, shard_rows: 2")).was_complete
    write_edf(folder / "data" / "S1" / "night.edf", 21, seed=9)
    with pytest.raises(DataError, match=r"holds the results of another job \(inputs: S1_night\)"):
        run_shards(saved(folder, *stages, sink="arrow: ../out/, shard_rows: 2"))


def test_the_rate_comes_from_the_recordings(folder):
    job = saved(folder, BAND, "Window: {length: 100}")
    assert job.transform.stages[0].fs == 100.0
    write_edf(folder / "data" / "S9" / "night.edf", 20, fs=50)
    with pytest.raises(ConfigError, match=r"job.yaml:4:19: .*the data here are at 50 and 100 Hz; give fs, bring them"):
        saved(folder, BAND, "Window: {length: 100}")
    job = saved(
        folder,
        "Resample: {to_hz: 50}",
        BAND.replace("30", "20"),
        "Window: {length: 100}",
        source="recordings: ../data/*/*.edf, channels: ECG",
    )
    assert job.transform.stages[1].fs == 50.0
    assert run_shards(job).rows == 15 + 10 + 10
    other = saved(
        folder, "Window: {length: 100}", source="recordings: ../data/*/*.edf, channels: ECG", sink="arrow: ../o/"
    )
    with pytest.raises(DataError, match=r"job.yaml:2:22: .*S9_night: gives windows of .* at 50 Hz, and the first"):
        run_shards(other)


def test_stages_that_name_channels_know_those_of_the_recordings(folder):
    job = saved(folder, "PickChannels: {picks: [ECG, 'Fp*']}", "Window: {length: 500}", "Reference: {to: [ECG]}",
                source="recordings: ../data/*/*.edf, units: physical")  # fmt: skip
    plan = job.plan()
    assert plan.result["signal"].shape == (6, 3, 500)
    rows = rows_of(run_shards(job))
    x = Recordings(f"{folder}/data/*/*.edf").with_units("physical")[0].columns["signal"].read(0, 500)
    names = [channel.name for channel in job.opened[0].channels]
    x = x[[names.index(one) for one in ("ECG", "Fp1", "Fp2")]]
    assert rows[0]["signal"].shape == (3, 500)
    np.testing.assert_allclose(rows[0]["signal"], x - x[:1], atol=1e-9)


def bridgeflow(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="bridgeflow")


def test_the_commands(folder, monkeypatch):
    monkeypatch.chdir(folder)
    saved(folder, BAND, "Window: {length: 2 s}", sink="parquet: ../out/")
    facts = json.loads(bridgeflow("check", "configs/job.yaml", "--json").stdout)
    assert (facts["recordings"], facts["rows"], facts["columns"], facts["without_rows"]) == (3, 25, ["signal"], 1)
    said = bridgeflow("explain", "configs/job.yaml")
    assert said.exit_code == 0, said.stderr
    assert "stage 1 (SignalFilter)" in said.stdout
    assert "15 windows" in said.stdout
    assert "first of 3 recordings" in said.stdout
    ran = bridgeflow("run", "configs/job.yaml", "--json", "--threads", "2")
    assert json.loads(ran.stdout)["sink"]["rows"] == 25, ran.stderr
    assert bridgeflow("verify", "out").exit_code == 0
    assert "touched" in bridgeflow("run", "configs/job.yaml").stdout
    fewer = json.loads(
        bridgeflow(
            "check", "configs/job.yaml", "source.recordings=../data/S0/night.edf", "--json", "--overwrite"
        ).stdout
    )
    assert (fewer["recordings"], fewer["rows"]) == (1, 15)


@pytest.mark.parametrize(
    ("source", "stages", "sink", "problem"),
    [
        ("recordings: ../data/none/*.edf", ["Window: {length: 9}"], "arrow: ../o/", "2:22: source.recordings: .*no such file"),
        ("recordings: ../../x.edf", ["Window: {length: 9}"], "arrow: ../o/", "2:22: source.recordings: .* lies outside of"),
        ("recordings: [../data/S0/night.edf, 3]", ["Clone"], "arrow: ../o/", r"2:45: source.recordings\[1\]: expected a path, got 3"),
        ("recordings: []", ["Clone"], "arrow: ../o/", "2:22: source.recordings: expected a path or a list of paths, got an empty list"),
        ("recordings: ../data/*/*.edf, table: x.csv", [], "arrow: ../o/", "2:39: source.table: names recordings and table"),
        ("recordings: ../data/*/*.edf, path: x", [], "arrow: ../o/", "2:39: source.path: goes with a `table`, and this source has `recordings`"),
        ("recordings: ../data/*/*.edf, chanels: [a]", [], "arrow: ../o/", "2:39: source.chanels: unknown key 'chanels'; did you mean 'channels'"),
        ("recordings: ../data/*/*.edf, channels: []", [], "arrow: ../o/", "2:49: source.channels: expected a list of at least 1, got an empty list"),
        ("recordings: ../data/*/*.edf, channels: [Fp1, Cz]", ["Window: {length: 9}"], "arrow: ../o/", r"2:55: source.channels\[1\]: .*no channel matches 'Cz'"),
        ("recordings: ../data/*/*.edf, columns: {a: Cz}", ["Window: {length: 9}"], "arrow: ../o/", "2:52: source.columns.a: .*no channel matches 'Cz'"),
        ("recordings: ../data/*/*.edf, units: mV", [], "arrow: ../o/", "2:46: source.units: expected 'raw' or 'physical', got 'mV'"),
        ("recordings: ../data/*/*.edf, format: edff", [], "arrow: ../o/", "2:47: source.format: no format 'edff'; did you mean 'edf'"),
        ("recordings: ../data/*/*.edf, fs: 100", ["Window: {length: 9}"], "arrow: ../o/", "2:43: source.fs: .*says its sampling rate"),
        ("recordings: ../data/*/*.edf, group: '(a+)+'", [], "arrow: ../o/", "2:46: source.group: has a repetition within a repetition"),
        ("recordings: ../data/*/*.edf, group: '(?P<s>X)'", ["Window: {length: 9}"], "arrow: ../o/", "2:22: source.recordings: .*matches nothing in the path"),
        ("recordings: ../data/*/*.edf", ["Clone"], "arrow: ../o/", "4:3: transforms: a dataset of recordings needs a stage that cuts"),
        ("recordings: ../data/*/*.edf", ["Window: {length: 9}"], "arrow: ../o.arrow", "5:15: sink.arrow: windows of recordings go into a folder"),
        ("recordings: ../data/*/*.edf", ["Window: {length: 9}"], "arrow: ../data/S0/", "5:15: sink.arrow: .*holds files that no job of ours"),
        ("recordings: ../data/*/*.edf", ["WholeRecording"], "arrow: ../o/", "5:15: sink.arrow: .*windows of different lengths"),
        ("recordings: ../data/*/*.edf", ["Detrend", "Window: {length: 9}"], "arrow: ../o/", r"4:5: .*stage 1 \(Detrend\).* needs the whole recording"),
        ("recordings: ../data/*/*.edf", ["Window: {length: 9}", "Scale: {keys: [ecg]}"], "arrow: ../o/", r"5:5: .*stage 2 \(Scale\)"),
        ("parquet: ../in.parquet", ["EventWindow: {event: a, start: 0, stop: 1}"], "arrow: ../o/", r"4:5: stage 1 \(EventWindow\).*cuts recordings, not arrays"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(folder, source, stages, sink, problem):
    with open_sink(folder / "in.parquet") as opened:
        opened.write({"ecg": np.zeros(100)})

    def checked():
        job = saved(folder, *(stages or ["Window: {length: 9}"]), source=source, sink=sink)
        job.check_outputs()
        run_shards(job)

    with pytest.raises(BridgeflowError, match=f"job.yaml:{problem}"):
        checked()
    assert not (folder / "o").exists() or os.listdir(folder / "o") == []


def test_links_out_of_the_roots_are_refused(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_edf(elsewhere / "secret.edf", 2)
    (folder / "data" / "S0" / "night.edf").unlink()
    (folder / "data" / "S0" / "night.edf").symlink_to(elsewhere / "secret.edf")
    with pytest.raises(DataError, match="lies outside of"):
        run_shards(saved(folder, "Window: {length: 9}"))
    (folder / "data" / "t.csv").write_text(f"path\n{elsewhere}/secret.edf\n")
    with pytest.raises(DataError, match=r"job.yaml:2:17: source.table: .*lies outside of"):
        run_shards(saved(folder, "Window: {length: 9}", source="table: ../data/t.csv"))
    (folder / "data" / "pipe.csv").unlink(missing_ok=True)
    os.mkfifo(folder / "data" / "pipe.csv")
    with pytest.raises(DataError, match="pipe"):
        run_shards(saved(folder, "Window: {length: 9}", source="table: ../data/pipe.csv"))
