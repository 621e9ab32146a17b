"""Text of others in messages: printable, and no longer than a person reads."""

import pytest

from bridgeflow.errors import KeyNotFound, NoRoute, nearest, printable
from bridgeflow.io.files import data_error

ESCAPES = ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\u202e", "\u200b", "\u2066", "\ud800", "\r\n", "\x00", "\u2028"]


@pytest.mark.parametrize("escape", ESCAPES, ids=ascii)
@pytest.mark.parametrize("limit", [None, 4, 20, 1000])
def test_what_comes_out_is_printable_and_within_the_limit(escape, limit):
    text = printable(f"a{escape}b" * 30, limit)
    assert text.isprintable()
    assert text.isascii()
    if limit is not None:
        assert len(text) <= limit


def test_plain_text_stays():
    assert printable("µV 1 × 2 心", 20) == "µV 1 × 2 心"
    assert printable("") == ""


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 10])
def test_a_cut_keeps_both_ends(limit):
    text = printable("abcdefghijklmnop", limit)
    assert len(text) <= max(limit, 3)
    assert limit < 5 or (text.startswith("a") and text.endswith("p"))


@pytest.mark.parametrize("escape", ESCAPES, ids=ascii)
def test_errors_show_names_from_files_in_printable_form(escape):
    name = f"lead{escape}" * 10_000
    for error in (
        data_error("a.parquet", f"has columns {name}", f"choose from {name}", column=name),
        data_error(f"{escape}.npy", "no such file"),
        NoRoute("dtype", "is text", "leave it out", place=f"$.{name}"),
    ):
        assert str(error).isprintable()
        assert len(str(error)) < 2000
    missing = KeyNotFound("matches nothing")
    missing.place = f"$.{name}"
    assert str(missing).isprintable()
    assert len(str(missing)) < 300


def test_nearest_is_fast_and_short_whatever_the_words_are():
    words = [f"{number}" * 1000 for number in range(1000)] + ["x" * 200_000, "ecg"]
    assert nearest("ecf", words) == "did you mean 'ecg'?"
    assert len(nearest("y" * 200_000, words)) < 1000
    assert len(nearest("ecf", [f"channel {number}" for number in range(50_000)])) < 1000
