"""Pictures: the right things drawn, published like every output, the same bytes each time."""

import matplotlib
import numpy as np
import pytest
import scipy.signal

from bridgeflow.errors import DataError, MissingDependency
from bridgeflow.io import printable
from bridgeflow.plots import BeforeAfter, draw_before_after, require_matplotlib

FS = 360
T = np.arange(20 * FS) / FS
BEFORE = np.sin(2 * np.pi * T) + 0.1 * np.sin(2 * np.pi * 60 * T)
WHAT = {"before": BEFORE, "after": np.sin(2 * np.pi * T), "fs": FS, "title": "recording", "name": "ecg", "unit": "mV"}


def test_axes_say_what_and_in_which_unit(tmp_path, drawn):
    draw_before_after(BeforeAfter(**WHAT, hum=(60.0, 13.9, -19.1), seconds=(5, 9)), tmp_path / "a.png")
    time, power = drawn[0].axes
    assert (time.get_xlabel(), time.get_ylabel(), time.get_title(loc="left")) == ("time (s)", "ecg (mV)", "recording")
    assert time.get_xlim() == (5, 9)
    assert [line.get_label() for line in time.lines] == ["before", "after"]
    assert np.array_equal(time.lines[0].get_ydata(), BEFORE[5 * FS : 9 * FS])
    assert (power.get_xlabel(), power.get_ylabel()) == ("frequency (Hz)", "power density (dB re 1 mV²/Hz)")
    assert power.get_xlim() == (0, FS / 2)
    assert power.texts[0].get_text() == "60 Hz\n+14 dB before, \u221219 dB after,\nagainst its neighbours"


@pytest.mark.parametrize(
    ("seconds", "limits"),
    [(None, (8, 12)), ((19, 25), (19, 20)), ((100, 200), (20 - 2 / FS, 20)), ((0, 0.001), (0, 2 / FS))],
)
def test_the_stretch_shown_is_one_that_exists(tmp_path, drawn, seconds, limits):
    draw_before_after(BeforeAfter(**WHAT, seconds=seconds), tmp_path / "a.png")
    assert drawn[0].axes[0].get_xlim() == pytest.approx(limits)


@pytest.mark.parametrize("length", [2, 3, 50])
def test_short_and_silent_recordings_are_drawn(tmp_path, length):
    what = {**WHAT, "before": np.zeros(length), "after": np.ones(length)}
    draw_before_after(BeforeAfter(**what), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_of_a_set_of_examples_the_first_is_drawn(tmp_path, drawn):
    what = {**WHAT, "before": np.stack([BEFORE, BEFORE * 2]), "after": np.stack([BEFORE * 3, BEFORE * 4])}
    draw_before_after(BeforeAfter(**what, seconds=(0, 1)), tmp_path / "a.png")
    assert np.array_equal(drawn[0].axes[0].lines[1].get_ydata(), BEFORE[:FS] * 3)


def test_each_signal_is_drawn_at_its_own_rate(tmp_path, drawn):
    slow = BEFORE[::4]
    what = {**WHAT, "after": slow, "fs": FS / 4, "before_fs": FS, "seconds": (5, 9)}
    draw_before_after(BeforeAfter(**what), tmp_path / "a.png")
    time, power = drawn[0].axes
    before, after = time.lines
    assert np.array_equal(after.get_ydata(), slow[5 * FS // 4 : 9 * FS // 4])
    assert np.array_equal(before.get_xdata()[::4], after.get_xdata())
    assert time.get_xlim() == (5, 9)
    assert power.lines[1].get_xdata()[-1] == FS / 8
    np.testing.assert_allclose(
        power.lines[0].get_ydata(), 10 * np.log10(scipy.signal.welch(BEFORE, FS, nperseg=2048)[1][1:])
    )


def test_windows_are_drawn_beside_the_stretch_that_they_were_cut_from(tmp_path, drawn):
    windows = BEFORE.reshape(-1, 5 * FS)
    draw_before_after(BeforeAfter(**{**WHAT, "after": windows}), tmp_path / "a.png")
    time = drawn[0].axes[0]
    assert time.get_xlim() == (0.5, 4.5)
    np.testing.assert_array_equal(time.lines[0].get_ydata(), time.lines[1].get_ydata())


def test_what_is_in_another_unit_has_an_axis_of_its_own(tmp_path, drawn):
    draw_before_after(BeforeAfter(**WHAT, one_unit=False), tmp_path / "a.png")
    time, _, own, _ = drawn[0].axes
    assert (time.get_ylabel(), own.get_ylabel()) == ("ecg (mV)", "before, in its own unit")
    assert [line.get_label() for line in own.lines] == ["before"]
    assert [text.get_text() for text in time.get_legend().get_texts()] == ["before", "after"]


ODD = [
    "$\\frac{a$",
    "$\\undefined$",
    "$x_{",
    "a_b^c",
    "_hidden",
    "%d {}",
    "two\nlines",
    "\x1b[31m",
    "\u202e",
    "電圧 ☃",
    "\udcff",
    "x" * 100_000,
    "$" * 3,
]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_text_is_drawn_as_it_is_written(tmp_path, drawn, text):
    what = {**WHAT, "title": text, "name": text, "unit": text}
    draw_before_after(BeforeAfter(**what, one_unit=False), tmp_path / "a.png")
    time = drawn[0].axes[0]
    assert time.get_title(loc="left").startswith(printable(text)[:40])
    for shown in (time.get_title(loc="left"), time.get_ylabel(), drawn[0].axes[1].get_ylabel()):
        assert shown.isprintable()
        assert len(shown) < 400
    assert not time.yaxis.label.get_parse_math()


def test_gaps_are_drawn_as_gaps_and_left_out_of_the_spectra(tmp_path, drawn):
    gap = BEFORE.copy()
    gap[100], gap[150] = np.nan, np.inf
    draw_before_after(BeforeAfter(**{**WHAT, "before": gap}), tmp_path / "a.png")
    assert np.isfinite(drawn[0].axes[1].lines[0].get_ydata()).all()
    with pytest.raises(DataError, match="no 2048 samples in a row are without NaN or infinity"):
        draw_before_after(BeforeAfter(**{**WHAT, "before": np.full(7200, np.nan)}), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("length", "fs", "scale"), [(1, 1e-3, 1.0), (1, 1e9, 1e300), (2, 0.1, 1e-300), (2, 1.0, 1e300)]
)
def test_one_sample_and_odd_rates_are_drawn(tmp_path, length, fs, scale):
    what = {**WHAT, "before": np.ones(length) * scale, "after": np.arange(3.0) * scale, "fs": fs, "before_fs": fs / 3}
    draw_before_after(BeforeAfter(**what), tmp_path / "a.png")


def test_the_picture_is_the_same_whatever_the_users_settings(tmp_path):
    draw_before_after(BeforeAfter(**WHAT), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        draw_before_after(BeforeAfter(**WHAT), tmp_path / "b.png")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_existing_picture_is_kept_unless_asked(tmp_path):
    (tmp_path / "a.png").write_bytes(b"precious")
    with pytest.raises(DataError, match="exists already"):
        draw_before_after(BeforeAfter(**WHAT), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"precious"
    draw_before_after(BeforeAfter(**WHAT), tmp_path / "a.png", overwrite=True)


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match=r"pip install 'bridgeflow\[plot\]'"):
        require_matplotlib()
