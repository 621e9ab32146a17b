"""Live models: chunks of any size give what the whole recording gives, when it was promised."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import Compose, Gain, Resample, Scale, SignalFilter, Standardize, ToTensor, Window
from bridgeflow.errors import CannotStream, DataError

LOW: dict[str, Any] = {"design": "butter", "order": 4, "cutoff": 40.0, "fs": 250.0}
PIPELINES = {
    "windows": Compose([SignalFilter(**LOW), Window(length=100, hop=50), Standardize()]),
    "windows first": Compose([Scale(scale=2.0), SignalFilter(**LOW), Window(length=64, first=True)]),
    "another rate": Compose([Resample(from_hz=250, to_hz=100), Window(length=40, hop=10)]),
    "look-ahead": Compose([SignalFilter(**LOW, mode="zero_phase", tolerance=1e-6), Window(length=80)]),
    "taps": Compose(
        [SignalFilter(design="firwin", numtaps=31, cutoff=40.0, fs=250.0, mode="zero_phase"), Window(length=50, hop=25)]
    ),
}
X = np.random.default_rng(0).standard_normal((3, 2000))


def windows_of(name: str, x: Any) -> Any:
    whole = PIPELINES[name](x)
    return whole if name == "windows first" else np.moveaxis(whole, -2, 0)


def pushed(live: Any, x: Any, cuts: list[int]) -> Any:
    pieces = np.split(x, cuts, axis=-1)
    answers = [live.push(piece, last=number == len(pieces) - 1) for number, piece in enumerate(pieces)]
    return np.concatenate([one for one in answers if len(one)])


@pytest.mark.parametrize("name", PIPELINES)
class TestLive:
    @given(cuts=st.lists(st.integers(0, 2000), max_size=8))
    def test_before_the_model_are_the_bits_of_the_whole(self, name: str, cuts: list[int]):
        live = PIPELINES[name].live(lambda windows: windows)
        result, expected = pushed(live, X, sorted(cuts)), windows_of(name, X)
        if PIPELINES[name].stages[0] == PIPELINES["look-ahead"].stages[0]:
            assert np.abs(result - expected).max() < 1e-5
        else:
            assert np.array_equal(result, expected)

    @pytest.mark.parametrize("size", [7, 10])
    def test_answers_come_with_the_declared_latency(self, name: str, size: int):
        pipeline = PIPELINES[name]
        live = pipeline.live(lambda windows: windows)
        cut = next(stage for stage in pipeline.stages if isinstance(stage, Window))
        rate = 0.4 if name == "another rate" else 1.0
        hop = (cut.hop or cut.length) / rate
        given_out = 0
        for start in range(0, 2000, size):
            given_out += len(live.push(X[:, start : start + size]))
            due = max(int((start + size - 1 - live.latency) // hop) + 1, 0)
            assert given_out >= due
            assert given_out <= max(int((start + size - cut.length / rate) // hop) + 1, 0)
        assert live.latency <= 2000

    def test_goes_on_in_another_process(self, name: str):
        live, other = (PIPELINES[name].live(lambda windows: windows) for _ in range(2))
        first = live.push(X[:, :777])
        other.load_state_dict(json.loads(json.dumps(live.state_dict())))
        rest = other.push(X[:, 777:], last=True)
        again = live.push(X[:, 777:], last=True)
        assert np.array_equal(rest, again)
        assert len(first) + len(rest) == len(windows_of(name, X))


class TestModels:
    def test_a_module_answers_as_on_a_batch(self):
        pipeline = Compose([ToTensor(), SignalFilter(**LOW), Window(length=100, hop=50), Gain(db=(-3, 3))])
        model = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.Flatten(), torch.nn.Linear(4 * 96, 2)).double()
        live = pipeline.live(model)
        answers = [live.push(torch.from_numpy(piece)) for piece in np.split(X, 200, axis=-1)]  # 40 ms each
        answers = torch.cat([one for one in answers if len(one)])
        expected = model(pipeline.eval()(torch.from_numpy(X)).movedim(-2, 0))
        assert not answers.requires_grad
        assert torch.allclose(answers, expected, rtol=0, atol=1e-12)

    def test_takes_nested_data_and_pipelines_without_windows(self):
        pipeline = Compose([SignalFilter(**LOW, keys="eeg")])
        live = pipeline.live(lambda data: data["eeg"])
        parts = [live.push({"eeg": piece}) for piece in np.split(X, 10, axis=-1)]
        assert np.array_equal(np.concatenate(parts, axis=-1), pipeline({"eeg": X})["eeg"])

    def test_ends_and_begins_again(self):
        live = PIPELINES["windows"].live(lambda windows: windows)
        first = live.push(X, last=True)
        with pytest.raises(DataError, match=r"ended; reset\(\)"):
            live.push(X)
        live.reset()
        assert np.array_equal(live.push(X, last=True), first)

    def test_refuses_what_does_not_stream_and_what_is_no_model(self):
        live = Compose([SignalFilter(**LOW, mode="zero_phase"), Window(length=10)]).live(len)
        with pytest.raises(CannotStream, match="zero phase filters backwards"):
            live.push(X)
        with pytest.raises(TypeError, match="model must be"):
            PIPELINES["windows"].live(3)  # type: ignore[arg-type]
