"""The page of `bridgeflow explain --html`: whole by itself, escaped, with the plan, and drawn by a browser."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from bridgeflow.cli.app import app
from bridgeflow.cli.page import glimpses
from bridgeflow.io import open_sink
from bridgeflow.pipeline import Compose
from bridgeflow.transforms import Scale

JOB = """\
version: 1
source: {parquet: "in<b>.parquet"}
transforms:
  - Scale: {keys: ["<script>&"], scale: 0.5}
  - SignalFilter: {keys: ["<script>&"], design: notch, w0: 60, Q: 30, fs: 360, mode: zero_phase}
sink: {parquet: out.parquet}
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Seen(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href", "srcset", "data", "action"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_sink("in<b>.parquet", settings={"fs": 360}) as sink:
        sink.write({"<script>&": np.sin(np.arange(7200) / 20)})
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


def explain(*arguments):
    return CliRunner().invoke(app, ["explain", "job.yaml", "--html", *arguments])


def test_the_page_is_whole_by_itself_and_escaped(folder):
    done = explain("plan.html")
    assert done.exit_code == 0, done.output
    text = (folder / "plan.html").read_text()
    seen = Seen(text)
    assert seen.open == []
    assert seen.addresses == []
    assert not {"script", "link", "img", "iframe", "b<"} & set(seen.tags)
    assert not [word for word in ("url(", "@import", "http") if word in text]
    assert "prefers-color-scheme: dark" in text
    words = " ".join(seen.text)
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
    first, second = glimpses(Compose([Scale(scale=2.0), Scale(scale=5.0)]), {"a": x})
    np.testing.assert_array_equal(first.before, x)
    np.testing.assert_array_equal(first.after, second.before)
    np.testing.assert_array_equal(second.after, 10 * x)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_draws_it_light_and_dark(folder, dark):
    image = pytest.importorskip("PIL.Image")
    explain("plan.html")
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    line = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder}/chromium", *scheme, "--window-size=1100,1100",
        f"--screenshot={folder / 'plan.png'}", (folder / "plan.html").as_uri(),
    ]  # fmt: skip
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    with image.open(folder / "plan.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert tuple(pixels[5, 5]) == ((0x16, 0x18, 0x1B) if dark else (0xFD, 0xFD, 0xFB))
    curve = np.array([0x6C, 0xB6, 0xF5] if dark else [0x0B, 0x5F, 0xA5])
    assert (np.abs(pixels.astype(int) - curve).max(axis=-1) < 12).sum() > 50
