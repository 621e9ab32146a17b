"""The contract suite finds what it is there to find: each clause is broken once, and named."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import to_numpy
from bridgeflow.spec import ArraySpec
from bridgeflow.testing import CLAUSES, check_transform
from bridgeflow.testing.strategies import LAYOUTS, ndarrays
from bridgeflow.transforms import LeafTransform, ToDevice, ToTensor, register, registry


@pytest.fixture(autouse=True)
def _private_registry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))


@dataclass(frozen=True, kw_only=True)
class Correct(LeafTransform):
    """A transform with nothing wrong; the others here differ from it in one thing each."""

    factor: float = 2.0

    def apply(self, x: Any) -> Any:
        return x * self.factor

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec.fresh()


class Mutable(Correct):
    """Its fields can be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Remembering(Correct):
    """Keeps values of a call where they get pickled."""

    def apply(self, x: Any) -> Any:
        object.__setattr__(self, "factor", self.factor + 0.0001)
        return x * 2.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remembering)

    __hash__ = Correct.__hash__

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class Untold(Correct):
    """Its configuration says nothing of its field."""

    def to_config(self) -> dict[str, Any]:
        return {"Untold": {}}


class Boastful(Correct):
    """Promises another dtype than it delivers."""

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec.fresh(dtype="float64")


class Writing(Correct):
    """Writes over its input."""

    def apply(self, x: Any) -> Any:
        x[..., 0] = 0
        return x * self.factor


class Laundering(Correct):
    """Hands out a writable tensor over read-only memory."""

    def apply(self, x: Any) -> Any:
        return ToTensor(writable=False)(x)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return replace(spec, kind="torch")


class Random(Correct):
    """Never gives the same twice."""

    def apply(self, x: Any) -> Any:
        return x * float(np.random.default_rng().random())


class Greedy(Correct):
    """Takes everything, whatever `keys` say."""

    def __call__(self, data: Any, /, *more: Any) -> Any:
        return replace(self, keys=None)._runner(data)


class Shy(Correct):
    """Does not get on with threads."""

    def apply(self, x: Any) -> Any:
        return x * (self.factor + (threading.current_thread() is not threading.main_thread()))


class Normalising(Correct):
    """Looks at the whole batch."""

    def apply(self, x: Any) -> Any:
        return x / abs(x).max()


class Differencing(Correct):
    """Says that chunks need no state, which is wrong."""

    pointwise = True

    def apply(self, x: Any) -> Any:
        first = x[..., :1] * 0
        values = np.diff(to_numpy(x), prepend=to_numpy(first)).astype("float32")
        return values if isinstance(x, np.ndarray) else torch.from_numpy(values)


class Careless(Correct):
    """Changes the state that it was given."""

    @property
    def stream_obstacle(self) -> str:
        return ""

    def init_state(self, spec: ArraySpec) -> Any:
        return [0]

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        state[0] += 1
        return x * self.factor * state[0], state


class Silent(Correct):
    """Does not stream, and lets it be tried all the same."""

    def init_state(self, spec: ArraySpec) -> Any:
        return None


BROKEN = {
    Mutable: ("immutable", "its field 'keys' can be set"),
    Remembering: ("picklable", "a call has changed what is pickled"),
    Untold: ("configurable", "schema and configuration name different fields"),
    Boastful: ("keeps_promise", r"numpy float32\[2, 96\] instead of the promised numpy float64\[2, 96\]"),
    Writing: ("reads_only", "the input was modified"),
    Laundering: ("reads_only", "a result shares read-only memory"),
    Random: ("repeatable", "the second result"),
    Greedy: ("nests", r"keys=\('one',\) touched another array"),
    Shy: ("thread_safe", "in one of 16 threads"),
    Normalising: ("batches", "the batch"),
    Differencing: ("streams", "chunks"),
    Careless: ("streams", "step\\(\\) from the same state"),
    Silent: ("streams", "does not raise CannotStream"),
}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_each_breach_is_found_and_named(cls: Any):
    clause, message = BROKEN[cls]
    register(cls)
    skip = {
        "Remembering": ("immutable",),
        "Random": ("picklable",),
    }.get(cls.__name__, ())
    with pytest.raises(
        AssertionError, match=f"(?s)^{cls.__name__} breaks its contract, clause '{clause}': .*{message}"
    ):
        check_transform(cls(), skip=skip)


def test_a_sound_transform_passes():
    register(Correct)
    check_transform(Correct())
    check_transform(Correct(factor=3.0, keys=("x",)), {"x": np.ones((2, 40)), "y": "label"})


def test_every_clause_is_broken_once():
    assert {clause for clause, _ in BROKEN.values()} == set(CLAUSES)


def test_a_class_in_a_function_cannot_be_spawned():
    class Local(Correct):
        """Lives in a function."""

    with pytest.raises(AssertionError, match="Local"):
        check_transform(register(Local)())


def test_a_transform_of_nothing_is_told():
    with pytest.raises(AssertionError, match="takes neither ndarrays nor tensors"):
        check_transform(Refusing())


class Refusing(Correct):
    """Takes nothing."""

    def apply(self, x: Any) -> Any:
        return ToDevice(device="cuda:99")(torch.ones(1))


def test_clauses_to_skip_must_exist():
    with pytest.raises(ValueError, match="no clause is called"):
        check_transform(Correct(), skip=["fast"])


def test_differences_may_be_tolerated():
    class Noisy(Correct):
        """A batch that differs in the last bits."""

        def apply(self, x: Any) -> Any:
            return x * self.factor * (1 + 1e-6 * (x.ndim > 2))

    clauses = [name for name in CLAUSES if name != "batches"]
    check_transform(Noisy(), tolerance=1e-5, skip=clauses)
    with pytest.raises(AssertionError, match="clause 'batches'"):
        check_transform(Noisy(), skip=clauses)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_drawn_as_named(layout: str):
    seen = {
        "C": lambda x: x.flags.c_contiguous,
        "F": lambda x: x.flags.f_contiguous,
        "strided": lambda x: x.strides[-1] == 2 * x.itemsize,
        "reversed": lambda x: x.strides[-1] < 0,
        "transposed": lambda x: x.flags.f_contiguous,
        "broadcast": lambda x: x.strides[0] == 0,
        "read-only": lambda x: not x.flags.writeable,
    }[layout]

    @given(ndarrays(shapes=st.just((3, 4)), layouts=(layout,)))
    def check(x: np.ndarray) -> None:
        assert seen(x)

    check()
