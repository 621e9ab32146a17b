"""A transform that is not given `fs` gets the rate of the data at its place."""

import numpy as np
import pytest

from bridgeflow.config import parse_job
from bridgeflow.errors import ConfigError

RESAMPLE = "Resample: {from_hz: 100, to_hz: 50}"
LOWPASS = "SignalFilter: {design: butter, order: 2, cutoff: 1}"
NEEDS_FS = [
    "Welch: {nperseg: 64}",
    "Stft: {nperseg: 16, hop: 4}",
    "Spectrogram: {nperseg: 16, hop: 4}",
    "PeakRate",
    LOWPASS,
]


@pytest.fixture
def parsed(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.random.default_rng(0).standard_normal(2000), b=np.arange(2000.0))

    def parse(*stages, source="{npz: x.npz, fs: 100, columns: [a]}"):
        lines = ["version: 1", f"source: {source}", "transforms:", *(f"  - {one}" for one in stages)]
        text = "\n".join([*lines, "sink: {npz: out.npz}", ""])
        return parse_job(text.encode(), name="job.yaml", folder=tmp_path)

    return parse


@pytest.mark.parametrize("stage", NEEDS_FS)
@pytest.mark.parametrize(
    ("before", "fs"),
    [
        ([], 100),
        ([RESAMPLE], 50),
        ([RESAMPLE, "Resample: {from_hz: 50, to_hz: 75}"], 75),
        (["Decimate: {q: 4}"], 25),
        (["Decimate: {q: 4}", RESAMPLE.replace("100", "25")], 50),
        (["Window: {length: 100}"], 100),
        ([RESAMPLE, "Window: {length: 100}"], 50),
        (["Compose: {stages: [Scale, Decimate: {q: 2}]}"], 50),
        (["Envelope: {n_out: 1000}"], 50),
        (["Stft: {nperseg: 16, hop: 4, fs: 100}", "Istft: {nperseg: 16, hop: 4, fs: 100}"], 100),
        (["Scipy: {function: signal.resample_poly, up: 1, down: 4}", "Resample: {from_hz: 1, to_hz: 3}"], 3),
        ([LOWPASS, "Detrend", "Hilbert", "Envelope", "MedianFilter", "Scale"], 100),
    ],
)
def test_the_rate_at_a_place(parsed, before, fs, stage):
    assert parsed(*before, stage).transform.stages[-1].fs == fs


BOTH = "{npz: x.npz, fs: 100}"


@pytest.mark.parametrize("keys", ["[a]"])
def test_columns_have_rates_of_their_own(parsed, keys):
    job = parsed(
        f"Resample: {{from_hz: 100, to_hz: 50, keys: {keys}}}",
        f"Welch: {{nperseg: 16, keys: {keys}}}",
        "Welch: {nperseg: 16, keys: [b]}",
        source=BOTH,
    )
    assert [stage.fs for stage in job.transform.stages[1:]] == [50, 100]
    with pytest.raises(
        ConfigError,
        match=r"job\.yaml:5:12: .*the data here are at 50 and 100 Hz; give fs, or select columns of one with keys$",
    ):
        parsed("Resample: {from_hz: 100, to_hz: 50, keys: [a]}", "Welch: {nperseg: 16}", source=BOTH)


def test_a_stage_before_that_does_not_say_its_columns_is_named(parsed):
    with pytest.raises(ConfigError, match=r"stage 1 \(Resample\): Resample works along time, .*: \$\.a, \$\.b; "):
        parsed(RESAMPLE, "PeakRate", source=BOTH)


@pytest.mark.parametrize("stage", NEEDS_FS[:4])
@pytest.mark.parametrize(
    ("before", "lost"),
    [(["Welch: {nperseg: 64}"], r"stage 1 \(Welch\)"), (["Scale", "PeakRate"], r"stage 2 \(PeakRate\)")],
)
def test_where_the_data_have_no_rate_it_is_asked_for_by_name(parsed, before, lost, stage):
    with pytest.raises(ConfigError, match=f"fs.*the data have no(ne| sampling rate) after {lost}"):
        parsed(*before, stage)


def test_without_any_rate_the_source_is_named(parsed):
    with pytest.raises(ConfigError, match="or say it once, as `fs` of the source"):
        parsed("PeakRate", source="{npz: x.npz}")


def test_stages_that_keep_the_rate_need_no_look_at_the_source(parsed):
    job = parsed("Detrend", LOWPASS, "Scale", "Welch", source="{npy: absent.npy, fs: 80}")
    assert job.transform.stages[-1].fs == 80
