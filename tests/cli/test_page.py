"""The page of `bridgeflow explain --html`: whole by itself, escaped, with the plan, and drawn by a browser."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bridgeflow import Recording, SignalDataset, load_pipeline
from bridgeflow.cli.app import app
from bridgeflow.cli.glimpses import glimpses_of_first_row, glimpses_of_first_window, glimpses_of_rows
from bridgeflow.io import open_sink
from bridgeflow.pipeline import Compose
from bridgeflow.transforms import EventWindow, RandomWindow, Scale, WholeRecording, Window
from tests.pages import CHROMIUM, CURVE, DARK_CURVE, DARK_GROUND, LIGHT_GROUND, Seen, drawn, near, require_harmless

JOB = """\
version: 1
source: {parquet: "in<b>.parquet"}
transforms:
  - Scale: {keys: ["<script>&"], scale: 0.5}
  - SignalFilter: {keys: ["<script>&"], design: notch, w0: 60, Q: 30, fs: 360, mode: zero_phase}
sink: {parquet: out.parquet}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_sink("in<b>.parquet", settings={"fs": 360}) as sink:
        sink.write({"<script>&": np.sin(np.arange(7200) / 20)})
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


def explain(*arguments, file="job.yaml"):
    return CliRunner().invoke(app, ["explain", file, "--html", *arguments])


def test_the_page_is_whole_by_itself_and_escaped(folder):
    done = explain("plan.html")
    assert done.exit_code == 0, done.output
    text = (folder / "plan.html").read_text()
    seen = require_harmless(text)
    words = seen.words
    for word in ("<script>&", "stage 1 (Scale)", "stage 2 (SignalFilter)", "copy", "57,600", "in<b>.parquet"):
        assert word in words, word
    assert seen.tags.count("svg") == 4


def test_what_it_refuses(folder):
    assert "end in .html" in explain("plan.txt").stderr
    assert explain("plan.html").exit_code == 0
    assert "exists already" in explain("plan.html").stderr
    assert explain("plan.html", "--overwrite").exit_code == 0


def test_glimpses_are_what_the_stages_make():
    x = np.arange(8.0)
    first, second = glimpses_of_rows(Compose([Scale(scale=2.0), Scale(scale=5.0)]), {"a": x})
    np.testing.assert_array_equal(first.before, x)
    np.testing.assert_array_equal(first.after, second.before)
    np.testing.assert_array_equal(second.after, 10 * x)


# --- recordings, windows, pipelines ---

STAGES = """\
transforms:
  - Scale: {scale: 0.5}
  - Resample: {to_hz: 50}
  - SignalFilter: {design: butter, cutoff: 10, order: 2, mode: zero_phase}
  - Window: {length: 2 s, hop: 1 s}
  - Standardize: {keys: [signal]}
"""
FILES = {
    "windows.yaml": "version: 1\nsource: {recordings: S*.npy, fs: 100}\n" + STAGES + "sink: {parquet: out/}\n",
    "train.yaml": "version: 1\nsource: {recordings: S*.npy, fs: 100}\nsplit: {fractions: {train: 0.5, val: 0.5}}\n"
    + STAGES
    + "  - Gain: {keys: [signal], db: [-6, 6]}\nloader: {batch_size: 4}\n",
    "rows.yaml": "version: 1\nsources: {train: {parquet: rows.parquet}}\n"
    "transforms: [Gain: {keys: [ecg], db: [-6, 6]}, Standardize: {keys: [ecg]}]\n",
}
CURVES = {"windows.yaml": 5, "train.yaml": 6, "rows.yaml": 2}


@pytest.fixture
def recordings(folder):
    rng = np.random.default_rng(0)
    for number in range(4):
        with open_sink(f"S{number}.npy") as sink:
            sink.write({"signal": 3 + rng.standard_normal(1000)})
    with open_sink("rows.parquet", settings={"fs": 100}) as sink:
        sink.write({"ecg": rng.standard_normal((20, 3, 100)), "label": np.arange(20)})
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("file", FILES)
def test_the_page_of_recordings_and_of_pipelines(recordings, file):
    done = explain("plan.html", file=file)
    assert done.exit_code == 0, done.output
    seen = Seen((recordings / "plan.html").read_text())
    assert (seen.open, seen.addresses) == ([], [])
    assert seen.tags.count("figure") == seen.tags.count("svg") == 2 * CURVES[file]
    words = " ".join(seen.text)
    facts = json.loads(CliRunner().invoke(app, ["explain", file, "--json"]).stdout)
    for step in facts["steps"]:
        assert {step["stage"], step["from"], step["to"], step["bytes"], step["action"]} <= set(seen.text)
    assert f"Runs {facts['runs']}." in words


def test_glimpses_of_a_window_are_what_a_dataset_gives(recordings):
    pipeline = load_pipeline("train.yaml")
    dataset = pipeline.datasets["train"]
    words, shown = glimpses_of_first_window(dataset)
    *_, standardized, last = shown
    assert words.startswith("The first window, 0 to 2 s of S")
    np.testing.assert_array_equal(last.after, dataset[0]["signal"].numpy().ravel())  # hop and filter see 0 to 4 s alike
    np.testing.assert_array_equal(last.before, standardized.after)


def test_glimpses_of_a_row_are_what_a_dataset_gives(recordings):
    pipeline = load_pipeline("rows.yaml")
    *_, last = glimpses_of_first_row(pipeline, "train")
    np.testing.assert_array_equal(last.after, pipeline.datasets["train"][0]["ecg"][0].numpy())
    assert last.channels == 3


WINDOWS = {
    "at an event": (EventWindow(event="b*", start=-0.5, stop=1.0), "The first window, 6.5 to 8 s of night"),
    "the whole": (WholeRecording(), "The first window, 0 to 10 s of night"),
    "by chance": (RandomWindow(length=100), "The first window"),
    "in the second segment": (Window(length=450), "The first window, 5.5 to 10 s of night"),
}


@pytest.mark.parametrize("where", WINDOWS)
def test_the_stretch_around_the_first_window(where):
    cut, words = WINDOWS[where]
    x = np.arange(1000.0).reshape(1, -1)
    segments = [(0, 400), (550, 1000)] if "segment" in where else None
    events = [(2.0, 0.0, "a"), (7.0, 0.0, "bang")]
    night = Recording.from_arrays(x, fs=100, id="night", events=events, segments=segments)
    dataset = SignalDataset([night], Compose([Scale(scale=2.0), cut]), kind="numpy")
    said, shown = glimpses_of_first_window(dataset)
    first, second = shown
    assert said.startswith(words)
    np.testing.assert_array_equal(first.after, 2 * first.before)
    if cut == WholeRecording():
        assert second.note == "changes no array of numbers"
    elif where != "by chance":
        np.testing.assert_array_equal(second.after, dataset[0]["signal"][0])


def test_recordings_without_a_window():
    dataset = SignalDataset([Recording.from_arrays(np.zeros((1, 10)), fs=10)], Compose([Window(length=100)]))
    words, shown = glimpses_of_first_window(dataset)
    assert ("nothing to show" in words, list(shown)) == (True, [])


def test_parts_of_a_pipeline(recordings):
    def said(*arguments):
        done = CliRunner().invoke(app, ["explain", *arguments])
        return done.exit_code, done.stdout, done.stderr

    code, text, _ = said("train.yaml")
    assert (code, "this is part train; there is val too" in text, "(Gain): in train alone" in text) == (0, True, True)
    code, text, _ = said("train.yaml", "--part", "val")
    assert (code, "stage 6 (Gain) " in text) == (0, False)
    assert "did you mean 'val'?" in said("train.yaml", "--part", "vol")[2]
    assert "--part is for a pipeline" in said("windows.yaml", "--part", "val")[2]
    assert "which writes nothing" in said("train.yaml", "--output-root", ".")[2]
    assert said("train.yaml", "--quiet")[:2] == (0, "")


# --- in a browser ---


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("file", ["job.yaml", "train.yaml"])
def test_a_browser_draws_it_light_and_dark(recordings, file, dark):
    pytest.importorskip("PIL")
    explain("plan.html", file=file)
    pixels = drawn(recordings / "plan.html", recordings, dark=dark, height=1500)
    assert tuple(pixels[5, 5]) == (DARK_GROUND if dark else LIGHT_GROUND)
    assert near(pixels, DARK_CURVE if dark else CURVE) > 50
