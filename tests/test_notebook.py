"""What notebooks show: whole by itself, escaped, light and dark, and made of little that is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgeflow import (
    Compose,
    RandomWindow,
    Recording,
    Recordings,
    Scale,
    SignalDataset,
    SignalFilter,
    ToTensor,
    Window,
    describe,
    to_numpy,
    trace,
)
from bridgeflow.pipeline import notebook
from tests.pages import CHROMIUM, CURVE, DARK_CURVE, DARK_GROUND, LIGHT_GROUND, drawn, near, require_harmless

HOSTILE = "<script>alert(1)</script>&\"'\x1b[31m"
SHOWN = "<script>alert(1)</script>&\"'\\x1b[31m"
X = np.sin(np.arange(3000) / 20) * np.array([[1.0], [2.0], [3.0]])


def ecg(**more):
    options = {"fs": 100, "channels": [HOSTILE, "II", "III"], "unit": "mV", "start": datetime(2026, 1, 2)}
    return Recording.from_arrays(X, **{**options, "events": [(1.0, None, HOSTILE)], "id": HOSTILE, **more})


KEY = '["<script>alert(1)</script>"]'
PIPELINE = Compose([Scale(scale=0.5, keys=KEY), abs, Compose([ToTensor(keys=KEY)])])
TABLE = {HOSTILE: X, "label": pa.array([HOSTILE, "b", "c"]), "n": np.arange(3)}


def shown(x):
    return require_harmless(x._repr_html_())


def objects():
    with trace() as log:
        to_numpy(pa.chunked_array([[1.0], [2.0]]))
    windows = Compose([SignalFilter(design="butter", order=2, cutoff=5.0, fs=100.0), Window(length=500)])
    return {
        "compose": PIPELINE,
        "plan": Scale(scale=2.0).explain({HOSTILE: np.zeros(3)}),
        "trace": log,
        "spec": describe(np.zeros((2, 3))[:, ::-1]),
        "recording": ecg().with_labels({"subject": HOSTILE}),
        "recordings": Recordings([ecg(), ecg(id="b").with_labels({HOSTILE: 3})]),
        "dataset": SignalDataset(TABLE, PIPELINE),
        "windows": SignalDataset(Recordings([ecg()]), windows),
    }


@pytest.mark.parametrize("name", list(objects()))
def test_is_whole_by_itself_and_escaped(name):
    seen = shown(objects()[name])
    assert "table" in seen.tags
    assert "\x1b" not in seen.words
    if name not in ("trace", "spec"):
        assert ("<script>alert(1)</script>" if name in ("compose", "plan") else SHOWN) in seen.words


class TestWords:
    def test_compose_says_what_is_not_a_default(self):
        words = shown(PIPELINE).words
        assert "Compose of 3 stages" in words
        assert "stage 3.1 (ToTensor)" in words
        assert "scale=0.5" in words
        assert "a plain callable" in words
        assert "offset" not in words

    def test_plan_and_trace_say_what_is_copied(self):
        plan = Scale(scale=2.0).explain({"x": np.zeros(3)})
        assert plan.summary() in shown(plan).words
        with trace() as log:
            to_numpy(pa.chunked_array([[1.0], [2.0]]))
        assert "1 crossings, 16 bytes copied" in shown(log).words
        assert "chunked" in shown(log).words

    def test_spec(self):
        words = shown(describe(np.zeros((2, 3))[:, ::-1])).words
        assert "2 \N{MULTIPLICATION SIGN} 3" in words
        assert "negative-stride" in words

    def test_recording_draws_the_beginning_of_channels(self):
        seen = shown(ecg())
        assert seen.tags.count("svg") == 3
        assert "30 s" in seen.words
        assert f"1 ({SHOWN})" in seen.words
        assert "2026-01-02T00:00:00" in seen.words

    def test_recordings(self):
        many = Recordings.from_arrays([X[:1]] * 14, fs=100, labels={"subject": list("abcdefghijklmn")})
        words = shown(many).words
        assert "14 recordings" in words
        assert "and 4 more" in words
        assert "subject" in words
        assert shown(many[:0]).tags.count("td") == 0

    def test_datasets(self):
        seen = shown(SignalDataset(TABLE, Scale(scale=2.0, keys=KEY)))
        assert seen.tags.count("svg") == 3
        assert "before the transform" in seen.words
        windows = SignalDataset(Recordings([ecg()]), Window(length=500))
        assert "0 to 5" in shown(windows).words
        assert shown(windows).tags.count("svg") == 3
        drawn_at_random = SignalDataset(Recordings([ecg()]), RandomWindow(length=500, per_recording=2))
        assert shown(drawn_at_random).tags.count("svg") == 2
        assert "there are no rows" in shown(SignalDataset(pa.table({"x": pa.array([], pa.float64())}))).words


class TestLittleIsRead:
    @pytest.fixture
    def reads(self, monkeypatch):
        from bridgeflow.recordings.column import Column

        counts = []
        read = Column.read
        monkeypatch.setattr(
            Column,
            "read",
            lambda self, start, stop, **more: (
                counts.append((stop - start) * len(self.channels)) or read(self, start, stop, **more)
            ),
        )
        return counts

    def test_of_a_recording(self, reads):
        long = Recording.from_arrays(np.zeros((64, 100_000), np.int16), fs=100)
        seen = shown(long)
        assert sum(reads) == 8 * 2000
        assert seen.tags.count("svg") == 8
        assert "and 40 more channels" in seen.words

    def test_of_windows_and_of_an_index_nothing(self, reads):
        many = Recordings.from_arrays(np.zeros((4, 8, 100_000)), fs=100)
        shown(many)
        assert reads == []
        shown(SignalDataset(many, Window(length=50_000)))
        assert sum(reads) == 3 * 4 * 2000

    def test_of_rows(self, monkeypatch):
        dataset = SignalDataset({"x": np.zeros((5000, 4, 100))}, abs)
        asked = []
        read = dataset.source.slice
        monkeypatch.setattr(dataset.source, "slice", lambda a, b, **more: asked.append(b - a) or read(a, b, **more))
        shown(dataset)
        assert asked == [3]

    def test_of_long_rows_none(self):
        words = shown(SignalDataset({"x": np.broadcast_to(np.zeros(1), (3, 1 << 20))})).words
        assert "a row has 8,388,608 bytes, so none was read" in words

    def test_of_large_files_whose_rows_cannot_be_read_alone_none(self, tmp_path, monkeypatch):
        pq.write_table(pa.table({"x": np.arange(1000.0)}), tmp_path / "x.parquet")
        dataset = SignalDataset(tmp_path / "x.parquet")
        assert "before the transform" in shown(dataset).words
        monkeypatch.setattr(notebook, "_FILE_NBYTES", 100)
        words = shown(dataset).words
        assert dataset.source.random_access or "cannot be read alone" in words

    def test_a_transform_is_not_run(self):
        def refuse(sample):
            raise AssertionError

        shown(SignalDataset(TABLE, refuse))

    def test_what_cannot_be_read_is_said(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros(100))
        recording = Recording.open(tmp_path / "a.npy", fs=10)
        (tmp_path / "a.npy").unlink()
        assert "has changed since" in shown(recording).words or "no such file" in shown(recording).words

    def test_it_is_small(self):
        for one in objects().values():
            assert len(one._repr_html_()) < 120_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_draws_it_light_and_dark(tmp_path, dark):
    pytest.importorskip("PIL")
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><meta charset='utf-8'>" + replace(ecg())._repr_html_(), encoding="utf-8")
    pixels = drawn(page, tmp_path, dark=dark)
    assert near(pixels, DARK_GROUND if dark else LIGHT_GROUND) > 10_000
    assert near(pixels, DARK_CURVE if dark else CURVE) > 50
