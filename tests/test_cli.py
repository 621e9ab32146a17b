"""The command line: what people and machines see, one line for each fault, and exit codes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import bridgeflow as package
from bridgeflow import doctor, io
from bridgeflow.cli.app import app
from bridgeflow.io import open_sink, open_source
from bridgeflow.signal.iir import native

SOURCES = str(Path(package.__file__).parents[1])
FS = 360
JOB = """\
version: 1
source: {parquet: in.parquet, columns: [ecg], fs: 360}
transforms:
  - Scale: {keys: [ecg], scale: 0.005, offset: -5.12}
  - SignalFilter: {keys: [ecg], design: notch, w0: 60, Q: 30, mode: zero_phase}
sink: {parquet: out.parquet}
"""
REPORT = "report: {hum: 60, before: Scale, unit: mV, png: out.png}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A job on twenty seconds of counts with mains interference, in the current folder."""
    t = np.arange(20 * FS) / FS
    noise = np.random.default_rng(0).normal(size=t.size)
    counts = (1024 + 40 * np.sin(2 * np.pi * 60 * t) + 20 * noise).astype(np.uint16)
    pq.write_table(pa.table({"ecg": counts, "label": ["n"] * t.size}), tmp_path / "in.parquet")
    (tmp_path / "job.yaml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bridgeflow(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="bridgeflow")


def refused(*arguments):
    """The one line that a refusal prints; nothing else, no traceback, exit code 2."""
    done = bridgeflow(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert [line for line in lines if not line.startswith("[")] == lines[-1:]
    assert lines[-1].startswith("bridgeflow: ")
    return lines[-1]


# --- run ---


def test_a_run_says_what_it_did(folder):
    (folder / "job.yaml").write_text(JOB + REPORT)
    done = bridgeflow("run", "job.yaml")
    assert done.exit_code == 0, done.output
    said = done.stdout.splitlines()
    assert said[0].startswith("read     in.parquet: 7,200 samples, 20 s at 360 Hz")
    assert any(
        line.startswith("hum      60 Hz against its neighbours: +") and line.endswith("dB less") for line in said
    )
    assert any(line.startswith("copies   none: all ") for line in said)
    assert any(line.startswith("wrote    out.parquet: ") for line in said)
    assert said[-1] == "picture  out.png"
    assert done.stderr.splitlines() == ["[1/4] read", "[2/4] Scale", "[3/4] SignalFilter", "[4/4] write"]
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")
    with open_source("out.parquet") as source:
        assert source.fs == 360
        assert source.settings["transforms"][1]["SignalFilter"]["w0"] == 60
        assert source.settings["source"] == "in.parquet"
    assert sorted(entry.name for entry in folder.iterdir()) == ["in.parquet", "job.yaml", "out.parquet", "out.png"]


def test_a_run_for_machines(folder):
    (folder / "job.yaml").write_text(JOB + REPORT)
    done = bridgeflow("run", "job.yaml", "--json")
    facts = json.loads(done.stdout)
    assert done.stderr == ""
    assert facts["ok"] is True
    assert (facts["rows"], facts["samples"], facts["fs"], facts["seconds"]) == (7200, 7200, 360, 20)
    assert facts["hum"]["before_db"] > 10 > -10 > facts["hum"]["after_db"]
    assert facts["copies"] == []
    assert facts["sink"]["nbytes"] == (folder / "out.parquet").stat().st_size


def test_the_same_job_gives_the_same_bytes(folder):
    (folder / "job.yaml").write_text(JOB + REPORT)
    assert bridgeflow("run", "job.yaml").exit_code == 0
    first = {name: (folder / name).read_bytes() for name in ("out.parquet", "out.png")}
    assert bridgeflow("run", "job.yaml", "--overwrite").exit_code == 0
    assert {name: (folder / name).read_bytes() for name in first} == first


@pytest.mark.parametrize("format", ["parquet", "arrow", "arrow_stream", "npy", "npz", "wav"])
def test_every_format_in_and_out(folder, format):
    settings = {"fs": 360} if format == "wav" else None
    with (
        open_source("in.parquet", columns=["ecg"]) as source,
        open_sink("a.any", format=format, settings=settings, dtype="int16" if format == "wav" else None) as sink,
    ):
        sink.write(source.read())
    suffix = io.all_formats()[format].suffixes[-1]
    text = JOB.replace("parquet: in.parquet", f"{format}: a.any")
    text = text.replace("parquet: out.parquet", f"{format}: b{suffix.upper()}")
    (folder / "job.yaml").write_text(text)
    assert bridgeflow("run", "job.yaml").exit_code == 0
    with open_source(f"b{suffix.upper()}") as source:
        assert source.rows == 7200


def test_copies_are_listed_with_their_reasons(folder):
    text = JOB.replace("  - SignalFilter", "  - ToTensor: {keys: [ecg], copy: always}\n  - SignalFilter")
    (folder / "job.yaml").write_text(text)
    done = bridgeflow("run", "job.yaml")
    assert done.exit_code == 0, done.output
    copies = [
        line for line in done.stdout.splitlines() if "stage 2 (ToTensor), $.ecg: copy of 28,800 bytes; asked: " in line
    ]
    assert len(copies) == 1


# --- bad input: one clear line, exit code 2, nothing half-written ---


def change(folder, before, after):
    text = (folder / "job.yaml").read_text()
    assert before in text
    (folder / "job.yaml").write_text(text.replace(before, after))


def no_file(folder):
    change(folder, "in.parquet", "inn.parquet")
    return "job.yaml:2:19: source.parquet: inn.parquet: no such file; did you mean in.parquet?"


def no_column(folder):
    change(folder, "columns: [ecg]", "columns: [egc]")
    return "job.yaml:2:41: source.columns[0]: in.parquet: column 'egc': no such column; did you mean 'ecg'?"


def no_key(folder):
    change(folder, "- Scale: {keys: [ecg]", "- Scale: {keys: [egc]")
    return "job.yaml:4:5: stage 1 (Scale)"


def wrong_type(folder):
    change(folder, "columns: [ecg]", "columns: [label]")
    change(folder, "keys: [ecg], ", "")
    return "job.yaml:4:5: stage 1 (Scale), $.label: "


def nulls(folder):
    pq.write_table(pa.table({"ecg": pa.array([1, None, 3], pa.uint16())}), folder / "in.parquet")
    return "job.yaml:2:41: source.columns[0]: in.parquet: column 'ecg': 1 null, the first in row 1; fill them, or set"


def empty_file(folder):
    (folder / "in.parquet").write_bytes(b"")
    return "job.yaml:2:19: source.parquet: in.parquet: is empty (0 bytes)"


def no_rows(folder):
    pq.write_table(pa.table({"ecg": pa.array([], pa.uint16())}), folder / "in.parquet")
    return "job.yaml:2:19: source.parquet: in.parquet: has no rows"


def cut_off(folder):
    whole = (folder / "in.parquet").read_bytes()
    (folder / "in.parquet").write_bytes(whole[: len(whole) // 2])
    return "job.yaml:2:19: source.parquet: in.parquet: cannot be read as parquet"


def other_format(folder):
    np.save(folder / "a.npy", np.zeros(3))
    os.replace(folder / "a.npy", folder / "in.parquet")
    return "job.yaml:2:19: source.parquet: in.parquet: is not a file of parquet: it begins like npy; read it as npy"


def too_high(folder):
    change(folder, "w0: 60", "w0: 200")
    return "job.yaml:5:52: transforms[1].SignalFilter.w0: Notch: w0=200 Hz must lie below fs/2 = 180 Hz"


def no_rate(folder):
    change(folder, ", fs: 360", "")
    return "job.yaml:5:5: transforms[1].SignalFilter: Notch: fs is missing"


def other_rate(folder):
    with open_source("in.parquet", columns=["ecg"]) as source:
        columns = source.read()
    with open_sink("in.parquet", overwrite=True, settings={"fs": 250}) as sink:
        sink.write(columns)
    return "job.yaml:2:51: source.fs: in.parquet: was sampled at 250 Hz by its own account, at 360 Hz by the job's"


def onto_itself(folder):
    change(folder, "out.parquet", "in.parquet")
    return "job.yaml:6:17: sink.parquet: in.parquet: the sink is the same file as the source"


def onto_itself_by_a_link(folder):
    (folder / "out.parquet").symlink_to("in.parquet")
    return "job.yaml:6:17: sink.parquet: out.parquet: the sink is the same file as the source"


def onto_the_configuration(folder):
    (folder / "out.parquet").symlink_to("job.yaml")
    return "job.yaml:6:17: sink.parquet: out.parquet: the sink is the same file as the configuration"


def onto_each_other(folder):
    (folder / "job.yaml").write_text(JOB + REPORT)
    (folder / "out.png").symlink_to("out.parquet")
    return "job.yaml:7:49: report.png: out.png: the picture is the same file as the sink"


def exists(folder):
    (folder / "out.parquet").write_bytes(b"precious")
    return "job.yaml:6:17: sink.parquet: out.parquet: exists already; pass --overwrite"


def picture_exists(folder):
    (folder / "job.yaml").write_text(JOB + REPORT)
    (folder / "out.png").write_bytes(b"precious")
    return "job.yaml:7:49: report.png: out.png: exists already; pass --overwrite"


def not_finite(folder):
    values = np.zeros(3000)
    values[1234] = np.nan
    pq.write_table(pa.table({"ecg": values}), folder / "in.parquet")
    return "job.yaml:5:5: stage 2 (SignalFilter), $.ecg: "


def two_arrays_in_npy(folder):
    pq.write_table(pa.table({"ecg": np.zeros(3000), "b": np.zeros(3000)}), folder / "in.parquet")
    change(folder, ", columns: [ecg]", "")
    change(folder, "parquet: out.parquet", "npy: out.npy")
    return "job.yaml:6:13: sink.npy: out.npy: an npy file holds one array, got ecg, b"


def outside(folder):
    change(folder, "out.parquet", "../out.parquet")
    return "job.yaml:6:17: sink.parquet: '../out.parquet' lies outside of ."


def too_short_for_mains(folder):
    pq.write_table(pa.table({"ecg": np.zeros(300)}), folder / "in.parquet")
    (folder / "job.yaml").write_text(JOB + REPORT)
    return "job.yaml:7:15: report.hum: hum: needs a recording of at least 2 s"


def no_such_reported_column(folder):
    (folder / "job.yaml").write_text(JOB + "report: {column: egc, hum: 60}\n")
    return "job.yaml:7:18: report.column: report: no column 'egc' comes out; did you mean 'ecg'?"


FAULTS = [
    no_file, no_column, no_key, wrong_type, nulls, empty_file, no_rows, cut_off, other_format, too_high,
    no_rate, other_rate, onto_itself, onto_itself_by_a_link, onto_the_configuration, onto_each_other, exists,
    picture_exists, not_finite, two_arrays_in_npy, outside, too_short_for_mains, no_such_reported_column,
]  # fmt: skip


def state(folder):
    return {entry.name: os.readlink(entry) if entry.is_symlink() else entry.read_bytes() for entry in folder.iterdir()}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_input_is_one_line(folder, fault):
    expected = fault(folder)
    before = state(folder)
    assert refused("run", "job.yaml").removeprefix("bridgeflow: ").startswith(expected)
    assert state(folder) == before


def test_debug_shows_the_traceback(folder):
    no_column(folder)
    done = bridgeflow("run", "job.yaml", "--debug")
    assert done.exit_code == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "bridgeflow: job.yaml:2:41: source.columns[0]: in.parquet: column 'egc'"
    )


def test_machines_get_the_error_too(folder):
    change(folder, "scale: 0.005", "scael: 0.005")
    done = bridgeflow("run", "job.yaml", "--json")
    assert done.exit_code == 2
    assert done.stderr == ""
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["file"], error["line"], error["column"]) == ("ConfigError", "job.yaml", 4, 26)


def test_a_bug_of_ours_says_so(folder, monkeypatch):
    monkeypatch.setattr(io.Source, "read", lambda self: 1 / 0)
    done = bridgeflow("run", "job.yaml")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "bridgeflow: a bug in BridgeFlow: ZeroDivisionError: division by zero; "
        "run it again with --debug and report the traceback"
    )


def test_a_full_disk_says_so(folder, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = state(folder)
    done = bridgeflow("run", "job.yaml")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == "bridgeflow: the system refused: [Errno 28] No space left on device"
    assert state(folder) == before


def test_errors_are_safe_for_a_terminal(folder):
    name = "a\x1b]0;owned\x07\u202e.yaml"
    line = refused("run", name)
    assert line.isprintable()
    assert r"a\x1b]0;owned\x07\u202e.yaml: no such file" in line


# --- the other commands ---


def test_check_reads_nothing_and_writes_nothing(folder, monkeypatch):
    monkeypatch.setattr(io.Source, "read", lambda self: pytest.fail("check has read the data"))
    before = state(folder)
    done = bridgeflow("check", "job.yaml")
    assert done.exit_code == 0, done.output
    assert "in.parquet: 7,200 rows of ecg" in done.stdout
    assert json.loads(bridgeflow("check", "job.yaml", "--json").stdout)["ok"] is True
    assert state(folder) == before


@pytest.mark.parametrize(
    "fault", [no_file, no_column, no_key, wrong_type, nulls, no_rows, too_high, no_rate, onto_itself, exists, outside]
)
def test_check_finds_what_a_run_would_refuse(folder, fault):
    expected = fault(folder)
    assert refused("check", "job.yaml").removeprefix("bridgeflow: ").startswith(expected)


def test_explain_prints_the_plan(folder):
    done = bridgeflow("explain", "job.yaml")
    assert done.exit_code == 0, done.output
    assert "stage 1 (Scale)" in done.stdout
    assert "numpy uint16[7200]" in done.stdout
    steps = json.loads(bridgeflow("explain", "job.yaml", "--json").stdout)["steps"]
    assert [step["stage"] for step in steps] == ["stage 1 (Scale)", "stage 2 (SignalFilter)"]


def test_list_names_transforms_and_formats():
    said = bridgeflow("list").stdout
    for name in ("SignalFilter", "Scale", "parquet", "arrow_stream", "npy"):
        assert any(line.startswith(f"{name} ") for line in said.splitlines())
    listed = json.loads(bridgeflow("list", "--json").stdout)
    assert set(listed["formats"]) == set(io.all_formats())


def test_doctor_tells_versions_and_limits():
    done = bridgeflow("doctor", "--json")
    findings = {one["what"]: one for one in json.loads(done.stdout)["findings"]}
    assert findings["numpy"]["value"] == np.__version__
    assert set(findings) == {
        "bridgeflow", "native engine", "YAML parser", "cores", "accelerator", "start method", "memory", "memory limit",
        "open files", "/dev/shm", *doctor._NEWEST,
    }  # fmt: skip
    engine = findings["native engine"]["value"]
    assert engine.startswith("built, runs with " if native.is_built() else "missing: ")
    assert done.exit_code == (3 if any(one["verdict"] == "bad" for one in findings.values()) else 0)


def test_schema_is_json():
    assert json.loads(bridgeflow("schema").stdout)["properties"]["version"]["const"] == 1


def test_wrong_arguments_exit_with_2():
    assert bridgeflow("run").exit_code == 2
    assert bridgeflow("rnu", "job.yaml").exit_code == 2
    assert bridgeflow("run", "job.yaml", "--overwirte").exit_code == 2


# --- plot filter ---

BANDPASS = ["--design", "butter", "--btype", "bandpass", "--cutoff", "0.5,40", "--order", "2", "--fs", "360"]


def test_a_filter_said_by_options_is_drawn(folder):
    done = bridgeflow("plot", "filter", *BANDPASS, "--png", "out.png")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "filter   Butter(fs=360.0, order=2, cutoff=(0.5, 40.0), btype='bandpass'), causal",
        "-3 dB    0.5, 40 Hz",
        "picture  out.png",
    ]
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_options_are_the_fields_of_a_configuration(folder):
    done = bridgeflow("plot", "filter", "--design=savgol", "--window-length", "11", "--polyorder=3",
                      "--offset", "-5.12", "--png", "out.png", "--json")  # fmt: skip
    fields = json.loads(done.stdout)["filter"]["SignalFilter"]
    assert (fields["design"], fields["window_length"], fields["offset"]) == ("savgol", 11, -5.12)


def test_a_filter_of_a_job_is_drawn_as_it_is_used(folder):
    done = bridgeflow("plot", "filter", "job.yaml", "--png", "out.png")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == ("filter   job.yaml, stage 2: Notch(fs=360.0, w0=60.0, Q=30.0), zero_phase")
    again = bridgeflow("plot", "filter", "job.yaml", "--stage", "2", "--png", "out.png", "--overwrite", "--json")
    assert json.loads(again.stdout)["half_power"] == pytest.approx([58.46, 61.57], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "which filter? Give a configuration (FILE), or fields"),
        (["job.yaml", "--design", "butter"], "give a configuration or the fields of a filter, not both"),
        (["job.yaml", "other.yaml"], "one configuration, please; got job.yaml, other.yaml"),
        (["job.yaml", "--stage", "1"], "job.yaml: stage 1 is not a SignalFilter; --stage takes one of 2"),
        (["none.yaml"], "none.yaml: no such file"),
        ([*BANDPASS, "--stage", "1"], "--stage is for a configuration"),
        ([*BANDPASS, "--order", "3"], "--order: is there twice"),
        ([*BANDPASS, "--rp"], "--rp: its value is missing"),
        ([*BANDPASS, "--ordr", "3"], "SignalFilter has no field 'ordr'; did you mean 'order'"),
        ([*BANDPASS, "--rp", "[1"], "--rp:2:1: is not valid YAML"),
        (["--design", "butter", "--cutoff", "low"], "$.cutoff: SignalFilter: "),
        (["--design", "notch", "--w0", "200", "--Q", "30", "--fs", "360"], "Notch: w0=200 Hz must lie below fs/2"),
        (["--ba", "[[1], [1, -1.5]]"], "Ba: unstable"),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:20],
)
def test_what_is_no_filter_is_one_line(folder, arguments, expected):
    before = state(folder)
    assert refused("plot", "filter", *arguments, "--png", "out.png").removeprefix("bridgeflow: ").startswith(expected)
    assert state(folder) == before


def test_a_picture_ends_in_png(folder):
    for name in ("out.svg", "out.pth", "out"):
        assert "pictures are PNG files, and end in .png" in refused("plot", "filter", *BANDPASS, "--png", name)
        assert not (folder / name).exists()


def test_several_filters_want_a_choice(folder):
    change(
        folder,
        "  - SignalFilter",
        "  - Compose: {stages: [SignalFilter: {design: notch, w0: 50, Q: 9}]}\n  - SignalFilter",
    )
    assert refused("plot", "filter", "job.yaml", "--png", "out.png").endswith("choose with --stage, one of 2.1, 3")
    done = bridgeflow("plot", "filter", "job.yaml", "--stage", "2.1", "--png", "out.png")
    assert "w0=50.0" in done.stdout


def test_a_picture_of_a_filter_is_not_replaced_unless_asked(folder):
    (folder / "out.png").write_bytes(b"precious")
    assert "exists already" in refused("plot", "filter", *BANDPASS, "--png", "out.png")
    assert bridgeflow("plot", "filter", *BANDPASS, "--png", "out.png", "--overwrite").exit_code == 0


# --- as a process ---


def test_help_is_quick_to_start():
    script = """
        import sys
        from bridgeflow.cli import main
        sys.argv = ["bridgeflow", "--help"]
        try:
            main()
        except SystemExit as exit:
            assert exit.code == 0
        heavy = {"torch", "numpy", "scipy", "pyarrow", "torchvision", "matplotlib", "yaml"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("during", ["planning", "writing"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(folder, number, code, during):
    """Planning writes placeholders in the main thread, and the work writes in another, in one long call here."""
    script = """
        import sys, threading, time
        from bridgeflow import cli
        from bridgeflow.io.sink import Sink
        write = Sink.write
        def slow(self, columns):
            write(self, columns)
            in_main = threading.current_thread() is threading.main_thread()
            if in_main is (during == "planning"):
                print("begun", file=sys.stderr, flush=True)
                time.sleep(600)
        Sink.write = slow
        during, sys.argv = sys.argv[-1], ["bridgeflow", "run", "job.yaml", "--json"]
        cli.main()
    """
    before = state(folder)
    command = [sys.executable, "-c", textwrap.dedent(script), during]
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stderr.readline() == "begun\n"
        process.send_signal(number)
        said, errors = process.communicate(timeout=120)  # no clock: how soon it ends is for tests/faults to say
    assert process.returncode == code, errors
    assert json.loads(said)["ok"] is False
    assert state(folder) == before


def test_python_m_bridgeflow_is_the_command_line():
    ran = subprocess.run([sys.executable, "-m", "bridgeflow", "list"], capture_output=True, text=True, check=True)
    assert "SignalFilter" in ran.stdout


# --- many recordings ---


MANY = """\
version: 1
source: {parquet: in/, columns: [ecg], fs: 360}
transforms:
  - Scale: {keys: [ecg], scale: 0.005, offset: -5.12}
  - SignalFilter: {keys: [ecg], design: notch, w0: 60, Q: 30}
sink: {parquet: out/, shard_rows: 2000}
"""


@pytest.fixture
def many(folder):
    """The recording three times, and a job for all of them."""
    for name in ("a", "b", "c"):
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / f"{name}.parquet").write_bytes((folder / "in.parquet").read_bytes())
    (folder / "job.yaml").write_text(MANY)
    return folder


def test_many_recordings_run_say_what_they_did_and_touch_nothing_the_second_time(many):
    done = bridgeflow("run", "job.yaml", "--threads", "2")
    assert done.exit_code == 0, done.output
    assert "in: 3 recordings, 21,600 rows" in done.stdout
    assert "out: 12 shards\n" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("[100 %] 3 of 3 recordings, ")
    before = {**state(many / "out" / "log"), "": sorted(os.listdir(many / "out"))}
    again = bridgeflow("run", "job.yaml")
    assert again.exit_code == 0
    assert "12 shards, all of them there already: nothing was touched" in again.stdout
    assert {**state(many / "out" / "log"), "": sorted(os.listdir(many / "out"))} == before


def test_many_recordings_for_machines(many):
    said = json.loads(bridgeflow("run", "job.yaml", "--json").stdout)
    assert (said["recordings"], said["rows"], said["shards"]) == (3, 21_600, 12)
    assert (said["written"], said["kept"], said["was_complete"]) == (12, 0, False)
    (many / "out" / "manifest.json").unlink()
    (many / "out" / "log" / "b-000003.json").unlink()
    said = json.loads(bridgeflow("run", "job.yaml", "--json").stdout)
    assert (said["written"], said["kept"], said["was_complete"]) == (1, 11, False)


def test_check_and_explain_of_many_recordings(many):
    done = bridgeflow("check", "job.yaml")
    assert done.exit_code == 0, done.output
    assert "in: 3 recordings, 21,600 rows of ecg" in done.stdout
    assert "in chunks of 2,000 rows; a shard for each 2,000 rows" in done.stdout
    assert not (many / "out").exists()
    done = bridgeflow("explain", "job.yaml")
    assert "the first of 3 recordings" in done.stdout
    assert json.loads(bridgeflow("explain", "job.yaml", "--json").stdout)["recordings"] == 3


def test_explain_says_what_is_read_whole_and_why(folder):
    done = bridgeflow("explain", "job.yaml")
    assert "runs on the whole recording at once: SignalFilter: zero phase filters backwards" in done.stdout
    (folder / "job.yaml").write_text(JOB.replace(", mode: zero_phase", ""))
    assert "runs at once: 7,200 rows are one chunk" in bridgeflow("explain", "job.yaml").stdout


def test_what_many_recordings_cannot(many):
    (many / "job.yaml").write_text(MANY.replace("out/, shard_rows: 2000", "out.parquet"))
    assert "is one file, and the source is many recordings; name a folder" in refused("run", "job.yaml")
    assert "--threads is for several recordings" in refused("run", "job.yaml", "--threads", "2")
    (many / "job.yaml").write_text(MANY)
    (many / "job.yaml").write_text(MANY + "report: {hum: 60}\n")
    assert "a report is about one file" in refused("check", "job.yaml")
    (many / "job.yaml").write_text(MANY.replace("out/", "in/out/"))
    assert "lies inside the source" in refused("run", "job.yaml")
    assert sorted(path.name for path in (many / "in").iterdir()) == ["a.parquet", "b.parquet", "c.parquet"]


def test_progress_in_words():
    from bridgeflow.cli.progress import progress_words
    from bridgeflow.engines.shards import Progress

    progress = Progress(done=50, total=100, recordings=1, of=4, rate=5 * 2**20, left=75.3)
    assert progress_words(progress) == "1 of 4 recordings, 5.0 MiB/s, 1 min 15 s left"


def test_verify(many):
    bridgeflow("run", "job.yaml")
    done = bridgeflow("verify", "out")
    assert done.exit_code == 0, done.output
    assert "12 shards, 21,600 rows" in done.stdout
    shard = next((many / "out").glob("part-*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert shard.name in refused("verify", "out")


# --- replacing a folder of shards ---


def shards(folder):
    """The bytes of every file in a folder of shards and its log."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_overwrite_of_a_folder_that_is_not_there_runs(many):
    done = bridgeflow("run", "job.yaml", "--overwrite")
    assert done.exit_code == 0, done.output
    first = shards(many / "out")
    assert bridgeflow("run", "job.yaml", "--overwrite").exit_code == 0
    assert shards(many / "out") == first


def test_overwrite_replaces_the_shards_of_another_job_and_of_a_damaged_one(many):
    assert bridgeflow("run", "job.yaml").exit_code == 0
    before = set(os.listdir(many / "out"))
    (many / "job.yaml").write_text(MANY.replace("scale: 0.005", "scale: 0.5"))
    for command in ("check", "run"):
        said = refused(command, "job.yaml")
        assert "job.yaml:6:17: sink.parquet: out: holds the results of another job (configuration: transforms)" in said
    assert bridgeflow("check", "job.yaml", "--overwrite").exit_code == 0
    assert set(os.listdir(many / "out")) == before
    assert json.loads(bridgeflow("run", "job.yaml", "--overwrite", "--json").stdout)["written"] == 12
    result = shards(many / "out")
    assert not before & set(result) - {"manifest.json"}
    next((many / "out").glob("part-*")).write_bytes(b"damaged")
    assert bridgeflow("run", "job.yaml", "--overwrite").exit_code == 0
    assert shards(many / "out") == result
    assert bridgeflow("verify", "out").exit_code == 0


def test_overwrite_goes_on_with_what_the_same_job_has_begun(many):
    bridgeflow("run", "job.yaml")
    (many / "out" / "manifest.json").unlink()
    (many / "out" / "log" / "b-000003.json").unlink()
    assert json.loads(bridgeflow("run", "job.yaml", "--overwrite", "--json").stdout)["written"] == 1


@pytest.mark.parametrize(
    "foreign",
    ["notes.txt", "part-a.parquet", "part-a-000000000000-000000002000-00000000.parquet", "log/notes.txt", "log/a.json",
     ".hidden", "deep/part-a.parquet"],
)  # fmt: skip
def test_a_folder_with_files_of_others_is_not_replaced(many, foreign):
    bridgeflow("run", "job.yaml")
    (many / "out" / foreign).parent.mkdir(exist_ok=True)
    (many / "out" / foreign).write_bytes(b"precious")
    before = shards(many / "out")
    for change in ("", "#"):
        (many / "job.yaml").write_text(MANY.replace("0.005", "0.5") if change else MANY)
        for command in ("check", "run"):
            said = refused(command, "job.yaml", "--overwrite")
            assert f"holds files that no job of ours has put there (out/{foreign.partition('/')[0]}" in said
    assert shards(many / "out") == before


def test_a_folder_of_nobody_knows_what_is_refused_by_check_too(many):
    (many / "out").mkdir()
    (many / "out" / "notes.txt").write_text("mine")
    for options in ([], ["--overwrite"]):
        for command in ("check", "run"):
            assert "holds files that no job of ours has put there (out/notes.txt)" in refused(
                command, "job.yaml", *options
            )


def test_a_removal_that_was_stopped_can_be_done_again(many, monkeypatch):
    bridgeflow("run", "job.yaml")
    (many / "job.yaml").write_text(MANY.replace("0.005", "0.5"))
    unlink, count = os.unlink, iter(range(100))

    def until_killed(path, **options):
        if next(count) > 8:
            raise OSError(5, "Input/output error")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", until_killed)
    assert bridgeflow("run", "job.yaml", "--overwrite").exit_code == 3
    monkeypatch.undo()
    os.chdir(many)
    assert not (many / "out" / "manifest.json").exists()
    assert "holds the results of another job" in refused("run", "job.yaml")
    assert bridgeflow("run", "job.yaml", "--overwrite").exit_code == 0
    assert bridgeflow("verify", "out").exit_code == 0


def test_no_file_is_written_among_shards(many):
    bridgeflow("run", "job.yaml")
    before = shards(many / "out")
    for sink in ("out/x.parquet", "out/log/x.parquet", "out/more/"):
        (many / "job.yaml").write_text(JOB.replace("out.parquet", sink))
        for command in ("check", "run"):
            assert "lies in out, a folder of shards" in refused(command, "job.yaml", "--overwrite")
    assert shards(many / "out") == before


def test_a_job_of_shards_that_fails_before_its_first_shard_leaves_nothing(many):
    values = np.full(7200, np.nan)
    for name in ("a", "b", "c"):
        pq.write_table(pa.table({"ecg": values}), many / "in" / f"{name}.parquet")
    (many / "job.yaml").write_text(MANY.replace("out/", "deep/er/out/"))
    assert "stage 2 (SignalFilter), $.ecg: " in refused("run", "job.yaml")
    assert not (many / "deep").exists()


# --- random stages ---


@pytest.mark.parametrize("command", ["run", "check", "explain"])
@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("Gain: {keys: [ecg], db: [-6, 6]}", "Gain"),
        ("Compose: {stages: [{TimeShift: {keys: [ecg], max_shift: 5}}]}", "TimeShift"),
        ("OneOf: {keys: [ecg], transforms: [{Polarity: {}}]}", "OneOf"),
        ("Mixup: {keys: [ecg], labels: []}", "Mixup"),
    ],
    ids=["one", "within another", "choice", "mixing"],
)
def test_random_stages_are_refused(folder, command, stage, name):
    (folder / "job.yaml").write_text(JOB.replace("sink:", f"  - {stage}\nsink:"))
    said = refused(command, "job.yaml")
    number = "3.1" if name == "TimeShift" else "3"
    assert f"stage {number} ({name}): draws random numbers" in said
    assert said.startswith("bridgeflow: job.yaml:6:")
    assert "augment what the job writes in a SignalDataset" in said
    assert not (folder / "out.parquet").exists()


def test_a_stage_that_is_never_applied_is_not_random(folder):
    (folder / "job.yaml").write_text(JOB.replace("sink:", "  - Gain: {keys: [ecg], db: 6, p: 0}\nsink:"))
    assert bridgeflow("check", "job.yaml").exit_code == 0
    assert bridgeflow("run", "job.yaml").exit_code == 0
