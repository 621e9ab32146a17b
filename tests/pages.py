"""What tests ask of HTML: tags, addresses and text, and how a browser draws it."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIGHT_GROUND, DARK_GROUND = (0xFD, 0xFD, 0xFB), (0x16, 0x18, 0x1B)
CURVE, DARK_CURVE = (0x0B, 0x5F, 0xA5), (0x6C, 0xB6, 0xF5)


class Seen(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href", "srcset", "data", "action"}]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(self.text)


def require_harmless(text):
    """The page is whole by itself: no script, no address, every tag closed, light and dark."""
    seen = Seen(text)
    assert seen.open == []
    assert seen.addresses == []
    assert not {"script", "link", "img", "iframe", "object", "b<"} & set(seen.tags)
    assert not [word for word in ("url(", "@import", "http") if word in text]
    assert "prefers-color-scheme: dark" in text
    return seen


def drawn(page, folder, *, dark, height=1100):
    """The pixels of a page in a browser whose user likes it light or dark."""
    from PIL import Image

    line = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder}/chromium", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--window-size=1100,{height}", f"--screenshot={folder / 'page.png'}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    with Image.open(folder / "page.png") as picture:
        return np.asarray(picture.convert("RGB"))


def near(pixels, colour):
    """How many pixels have about this colour."""
    return int((np.abs(pixels.astype(int) - np.array(colour)).max(axis=-1) < 12).sum())
