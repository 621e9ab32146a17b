"""What errors carry (stage, field), and text of others in messages: printable, no longer than a person reads."""

import pickle
from functools import partial

import numpy as np
import pytest

from bridgeflow.errors import (
    BridgeflowError,
    ConfigError,
    DataError,
    KeyNotFound,
    NoRoute,
    StageId,
    at_place,
    name_error,
    names_errors,
    naming,
    nearest,
    printable,
)
from bridgeflow.io.files import data_error
from bridgeflow.pipeline.compose import Compose
from bridgeflow.transforms import Cast, Detach, Scale, ToTensor, Transform

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


def test_a_stage_is_its_place_in_the_nesting_and_its_name():
    stage = StageId.of(Scale(), 2, 1)
    assert (stage.numbers, stage.name, str(stage)) == ((2, 1), "Scale", "stage 2.1 (Scale)")
    assert str(StageId.of(partial(partial(abs)))) == "abs"
    assert StageId.of(Scale(), 1).within(StageId.of(Compose(), 2)) == stage._replace(numbers=(2, 1))
    assert stage.within(None) is stage


@pytest.mark.parametrize("runs", [Compose.__call__, Compose.explain], ids=["run", "plan"])
def test_an_error_carries_the_stage_that_raised_it(runs):
    inner = Compose([Scale(), ToTensor(copy="never")])
    with pytest.raises(BridgeflowError) as raised:
        runs(Compose([Scale(), inner]), {"x": np.zeros(3, "datetime64[s]")})
    assert raised.value.stage == StageId((1,), "Scale")
    with pytest.raises(BridgeflowError) as raised:
        runs(Compose([Compose([Detach()]), Compose([Detach(), Cast(dtype="int8", keys="y")])]), {"x": np.zeros(3)})
    assert raised.value.stage == StageId((2, 2), "Cast")
    assert pickle.loads(pickle.dumps(raised.value)).stage == StageId((2, 2), "Cast")


@pytest.mark.parametrize("config", [{"Scale": {"scale": "1"}}, {"Scale": {"scale": []}}, {"Detach": {"keys": 3}}])
def test_an_error_about_a_field_carries_it(config):
    with pytest.raises(ConfigError) as raised:
        Transform.from_config(config)
    ((_, fields),) = config.items()
    assert raised.value.field in fields


def test_the_function_that_was_called_is_named_once():
    @names_errors("inner")
    def inner(message: str) -> None:
        raise DataError(message)

    @names_errors("outer")
    def outer(message: str) -> None:
        inner(message)

    with pytest.raises(DataError, match=r"^inner: no samples$") as info:
        outer("no samples")
    assert info.value.function == "inner"
    assert str(pickle.loads(pickle.dumps(info.value))) == "inner: no samples"
    with pytest.raises(DataError, match=r"^inner: already$"):
        inner("inner: already")
    with pytest.raises(ValueError, match=r"^plain$"), naming("outer"):
        raise ValueError("plain")
    refused = at_place(name_error(NoRoute("nulls", "3 nulls", "fill them"), "sosfilt"), "$.ecg")
    assert str(refused) == "$.ecg: sosfilt: 3 nulls [nulls]; fill them"


def test_a_method_is_named_by_its_object():
    class Filter:
        name = "butter"

        @names_errors(lambda self: self.name)
        def run(self) -> None:
            raise ConfigError("no", field="order")

    with pytest.raises(ConfigError, match=r"^butter: no$") as info:
        Filter().run()
    assert info.value.field == "order"
