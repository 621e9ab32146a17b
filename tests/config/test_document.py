"""YAML of unknown origin: what it means, what is refused, where, and how fast."""

# ruff: noqa: E501  (tables read better unbroken)

import time
import tracemalloc
from contextlib import suppress

import pytest
import yaml

from bridgeflow import _document as document
from bridgeflow._document import MAX_BYTES, read_document
from bridgeflow.errors import ConfigError

LOADERS = [loader for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader) if loader]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def _loader(request, monkeypatch):
    """Both parsers of PyYAML, so that a machine without libyaml is as strict."""
    monkeypatch.setattr(document, "_LOADER", request.param)


def plain(text):
    return read_document(text.encode(), "job.yaml").root.plain()


def refusal(data):
    with pytest.raises(ConfigError) as caught:
        read_document(data if isinstance(data, bytes) else data.encode(), "job.yaml")
    return caught.value


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("Null", None), ("nuLL", "nuLL"),
        ("true", True), ("FALSE", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("0", 0), ("-12", -12), ("+12", 12), ("010", 10), ("0o10", 8), ("0x1F", 31), ("0b101", "0b101"), ("1_000", "1_000"),
        ("0" * 5001, 0), ("-" + "0" * 5000, 0), ("+" + "0" * 5000 + "7", 7), ("0x" + "0" * 5000 + "1F", 31), ("-0x10", "-0x10"),
        ("1:30:00", "1:30:00"), ("190:20:30.15", "190:20:30.15"), ("9223372036854775807", 2**63 - 1),
        ("1e5", 1e5), ("1E5", 1e5), ("1.", 1.0), (".5", 0.5), ("-1.5e-3", -1.5e-3), ("6.022e+23", 6.022e23), ("1.2.3", "1.2.3"),
        ("2001-12-14", "2001-12-14"), ("2001-12-14 21:59:43.10", "2001-12-14 21:59:43.10"), ("=", "="), ("0.", 0.0),
        ("'1'", "1"), ('"true"', "true"), ("'~'", "~"), ("µV", "µV"), ("!important", None), ("a b", "a b"), ("1 2", "1 2"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    if text.startswith("!"):
        assert "tags (!important) are not allowed" in str(refusal(f"key: {text}"))
        return
    got = plain(f"key: {text}")["key"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a: !!python/object/apply:os.system ['true']", 1, 4, "tags"),
        ("a:\n  - !!python/name:os.system", 2, 5, "tags"),
        ("a: !!python/module:os", 1, 4, "tags"),
        ("a: !!python/object/new:subprocess.Popen {args: [true]}", 1, 4, "tags"),
        ("!!map {a: 1}", 1, 1, "tags"),
        ("a: !!str 1", 1, 4, "tags"),
        ("a: !!binary aGk=", 1, 4, "tags"),
        ("a: !custom 1", 1, 4, "tags"),
        ("a: ! 1", 1, 4, "tags"),
        ("? !!str a\n: 1", 1, 3, "tags"),
        ("a: &x 1", 1, 4, "anchors (&x)"),
        ("&x a: 1", 1, 1, "anchors"),
        ("a: &x {b: *x}", 1, 4, "anchors"),
        ("a: [*x]", 1, 5, "aliases (*x)"),
        ("a: 1\n<<: {b: 2}", 2, 1, "merge keys"),
        ("a: 1\nb: 2\na: 3", 3, 1, "the key 'a' stands here a second time, first in line 1"),
        ("x:\n  - {a: 1, 'a': 2}", 2, 12, "a second time"),
        ("1: x", 1, 1, "a key must be a word, got 1"),
        ("true: x", 1, 1, "a key must be a word, got True"),
        ("~: x", 1, 1, "a key must be a word, got nothing"),
        ("? [a, b]\n: x", 1, 3, "a key must be a word, got a list of 2"),
        ("? {a: b}\n: x", 1, 3, "a key must be a word, got a map of 1"),
        ("a: 1\n---\nb: 1", 2, 1, "a second document"),
        ("--- 1\n--- 2\n--- 3", 2, 1, "a second document"),
        ("%YAML 1.1\n---\na: 010", 1, 1, "directives"),
        ("%TAG ! tag:x,2000:\n---\na: 1", 1, 1, "directives"),
        ("", 1, 1, "is empty"),
        ("# nothing\n\n", None, None, "is empty"),
        ("a: .nan", 1, 4, "numbers must be finite, got .nan"),
        ("a: -.INF", 1, 4, "numbers must be finite"),
        ("a: 1e999", 1, 4, "numbers must be finite, got 1e999"),
        ("a: " + "9" * 5000, 1, 4, "an integer of 5000 digits is too large"),
        ("a: 0x" + "f" * 5000, 1, 4, "is too large"),
        ("a: -" + "9" * 5000, 1, 4, "an integer of 5000 digits is too large"),
        ("a: 0o" + "7" * 5000, 1, 4, "is too large"),
        ("a: -9223372036854775808", 1, 4, "is too large"),
        ("&" + "a" * 100_000 + " x", 1, 1, "anchors (&aaaa"),
        ("*" + "a" * 100_000, 1, 1, "aliases (*aaaa"),
        ("!" + "a" * 100_000 + " x", 1, 1, "tags (!aaaa"),
        ("k" * 100_000 + ": 1", None, None, "is not valid YAML"),
        ("? " + "k" * 100_000 + "\n: 1\n? " + "k" * 100_000 + "\n: 2", 3, 3, "stands here a second time"),
        ("a: 9223372036854775808", 1, 4, "is too large"),
        ("a: 1" + "0" * 5000 + ".5", 1, 4, "numbers must be finite"),
        ("a: [1, 2", None, None, "is not valid YAML"),
        ("a: b: c", 1, 5, "is not valid YAML"),
        ("\ta: 1", 1, 1, "is not valid YAML"),
        ("a: 'x", None, None, "is not valid YAML"),
        ("a: {b: 1}}", 1, 10, "is not valid YAML"),
        ("a: @x", 1, 4, "is not valid YAML"),
        ("a: \u202ex", 1, 4, "holds the character U+202E, which cannot be seen"),
        ("# ok\na\u200bb: 1", 2, 2, "U+200B"),
        ("a: x\u00a0y", 1, 5, "U+00A0"),
        ("a: \x1b[31mred", 1, 4, "U+001B"),
        ("a: x\0y", 1, 5, "U+0000"),
        ("a: x\u2028y", 1, 5, "U+2028"),
        ('a: "\\e[31m"', 1, 4, "this text holds the character U+001B"),
        ('a: "\\u202e"', 1, 4, "this text holds the character U+202E"),
        ('"k\\0": 1', 1, 1, "this text holds the character U+0000"),
        ("a: \ufeff1", 1, 4, "U+FEFF"),
        ("[" * 3000, 1, 33, "at most 32 levels deep"),
        ("{a: " * 33, 1, 129, "at most 32 levels deep"),
        ("- " * 40 + "x", 1, 65, "at most 32 levels deep"),
        ("[" + "1," * 10_000 + "]", 1, 20_000, "at most 10,000 values"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(text, line, column, problem):
    error = refusal(text)
    assert problem in str(error)
    assert str(error).startswith(f"job.yaml:{error.line}:{error.column}: ")
    assert len(str(error)) < 500
    assert (line, column) in {(error.line, error.column), (None, None)}


def test_bytes_that_are_no_text():
    for data, line, column in [(b"a: 1\nb: \xff", 2, 4), (b"\xff\xfea\0:\0", 1, 1), ("a: 1".encode("utf-32"), 1, 1)]:
        error = refusal(data)
        assert "is not UTF-8" in str(error)
        assert (error.line, error.column) == (line, column)


BOM = b"\xef\xbb\xbf"


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize("text", ["a: 1", "# note\na: [1, x]", "µ: {b: null}"])
def test_a_byte_order_mark_at_the_beginning_is_skipped(text):
    assert read_document(BOM + text.encode(), "job.yaml") == read_document(text.encode(), "job.yaml")


@pytest.mark.usefixtures("_loader")
@pytest.mark.parametrize(
    "data", [b"a: @x", b"a: 1\nb: \xff", b"b\xff: 1", "µ\u200b: 1".encode(), b"a: !x 1", b""], ids=range(6)
)
def test_places_after_a_byte_order_mark_are_those_that_editors_show(data):
    with_mark, without = refusal(BOM + data), refusal(data)
    assert (str(with_mark), with_mark.location) == (str(without), without.location)


@pytest.mark.parametrize("data", [BOM + BOM + b"a: 1", b"a: " + BOM + b"1", b"a: 1\n" + BOM], ids=range(3))
def test_another_byte_order_mark_is_refused(data):
    assert "U+FEFF" in str(refusal(data))


def test_columns_count_characters():
    assert (refusal("µµ: [×, *x]").line, refusal("µµ: [×, *x]").column) == (1, 9)


def test_the_largest_allowed():
    text = "[" + ",".join("1" for _ in range(9_999)) + "]"
    assert len(plain(text)) == 9_999
    deep = "[" * 32 + "]" * 32
    assert plain(deep)
    filler = "# " + "x" * (MAX_BYTES - 6) + "\n"
    assert plain(filler + "a: 1" if len(filler) + 4 <= MAX_BYTES else "a: 1") == {"a": 1}
    assert f"at most {MAX_BYTES:,} bytes" in str(refusal(b"x" * (MAX_BYTES + 1)))


BOMBS = {
    "merge": "a: &a {x: 1}\n" + "".join(f"{c}: &{c} {{<<: [*a, *a]}}\n" for c in "bcdefgh"),
    "alias": "a: &a [x, x]\n"
    + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "self": "a: &a [*a]",
    "brackets": "[" * 100_000,
    "braces": "{" * 100_000,
    "one text": "a: " + "x" * (MAX_BYTES - 10),
    "one quoted text": 'a: "' + "\\x41" * (MAX_BYTES // 4 - 10) + '"',
    "blank lines": "\n" * (MAX_BYTES - 10),
    "comments": "#\n" * (MAX_BYTES // 2 - 10),
    "folded": 'a: "' + "x\n " * (MAX_BYTES // 3 - 10) + '"',
    "keys": "".join(f"k{i}: 1\n" for i in range(20_000)),
    "questions": "? " * 50_000,
    "dashes": "- " * 50_000,
    "megabytes": "a: " + "x" * (8 << 20),
}


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="the bounds are libyaml's")
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_over_quickly(bomb):
    data = BOMBS[bomb].encode()
    start = time.process_time()
    with suppress(ConfigError):
        read_document(data, "job.yaml")
    assert time.process_time() - start < 0.2
    tracemalloc.start()
    with suppress(ConfigError):
        read_document(data, "job.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_a_place_is_found_by_steps():
    document = read_document(b"transforms:\n  - Scale: {scale: 1}\n  - Cast:\n      dtype: x\n", "job.yaml")
    assert (
        str(document.error(["transforms", 1, "Cast", "dtype"], "no")) == "job.yaml:4:14: transforms[1].Cast.dtype: no"
    )
    assert str(document.error(["transforms", 0, "Scale"], "no", at_key=True)).startswith("job.yaml:2:5: ")
    assert str(document.error(["transforms", 7, "Scale"], "no")).startswith("job.yaml:2:3: ")
    error = document.error([], "no")
    assert (str(error), error.file, error.line, error.column) == ("job.yaml:1:1: no", "job.yaml", 1, 1)
