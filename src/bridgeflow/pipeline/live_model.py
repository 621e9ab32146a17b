"""`LiveModel`: chunks of a live signal in, a model's answers out, through the pipeline it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow._state import StreamState, load_streams, save_streams
from bridgeflow.bridge import kind_of, shape_of
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.pipeline.joining import with_tail
from bridgeflow.signal.streams import any_length
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.plan import describe_leaves, is_spec
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import leaves_of, map_leaves

__all__ = ["LiveModel"]


class LiveModel:
    """A pipeline and a model on one live signal: chunks of any size in, the model's answers out.

    What the model is given has the bits of the same windows out of the whole recording. Not for several threads at
    once.

    Args:
        pipeline: every stage of it must stream; augmentations are left out.
        model: takes a batch [windows, ...] of what the pipeline gives (in its structure), or, of a pipeline without
            `Window`, each piece [..., time]; a `torch.nn.Module` runs without gradients, in the mode that it is in.

    Attributes:
        latency: in samples of the input, what filters lag, and the length of a window less one: the push that brings
            sample `s + latency`, at the latest, gives the answer about the window that begins at sample s.

    Raises:
        CannotStream: (with the first chunk) a stage that needs the whole recording; says which.

    >>> from bridgeflow import Compose, SignalFilter, Window
    >>> low = SignalFilter(design="butter", order=2, cutoff=10.0, fs=100.0)
    >>> live = Compose([low, Window(length=50)]).live(lambda windows: windows.mean(axis=(1, 2)))
    >>> live.latency, [len(live.push(np.ones((2, 40)))) for _ in range(3)]
    (49, [0, 1, 1])
    """

    def __init__(self, pipeline: Any, model: Callable[[Any], Any]) -> None:
        if isinstance(model, type) or not callable(model):
            raise TypeError(f"live: model must be a module or another function of a batch, got {model!r:.80}")
        self.model = model
        self._pipeline = pipeline.eval()
        self._axis = self._pipeline.time_axis
        self._stream = StreamState()

    @property
    def latency(self) -> int:
        """See the class."""
        return int(self._pipeline.latency)

    def push(self, chunk: Any, *, last: bool = False) -> Any:
        """The next samples of the signal: an array [..., time], or data with arrays in it.

        Args:
            chunk: of any length, also none.
            last: whether the signal ends with it, so that what is held back comes out.

        Returns:
            The model's answers on the windows that are complete now, as the model returns them; `[]` where there is no
            window yet.

        Raises:
            DataError: a chunk that does not follow the ones before; the signal has ended.
        """
        if self._stream.ended:
            raise DataError("live: the signal has ended; reset() lets another begin")
        data = self._pipeline.opened(chunk)
        state = self._stream.state
        if state is None:
            lengthless = map_leaves(partial(any_length, axis=self._axis), describe_leaves(data), is_spec)
            state = self._pipeline.init_state(lengthless, axis=self._axis)
        result, state = self._pipeline.step(data, state)
        axes = state.axes[-1]
        if last:
            result = with_tail(result, self._pipeline.flush(state), axes)
        answers = self._answers(result, axes)
        self._stream = StreamState(self._stream.position, None if last else state, last)
        return answers

    def reset(self) -> None:
        """Forget the signal: the next chunk begins another one."""
        self._stream = StreamState()

    def state_dict(self) -> dict[str, Any]:
        """Where the signal is, as plain values that JSON can hold; not the model."""
        return save_streams(self._pipeline, self._axis, {"": self._stream})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Raises:
            DataError: it is of another pipeline, or damaged.
        """
        self._stream = load_streams(state, self._pipeline, self._axis)[""]

    def _answers(self, result: Any, axes: Mapping[str, int]) -> Any:
        leaves = leaves_of(result, is_array)
        counts = {place: shape_of(leaf)[axes[place]] for place, leaf in leaves.items()}
        if set(counts.values()) == {0}:
            return []
        batch = result
        if any(isinstance(stage, LeafTransform) and getattr(stage, "cuts", False) for _, stage in self._pipeline.row):
            if len(set(counts.values())) > 1:
                raise ConfigError(
                    f"live: arrays come in different numbers of windows ({counts}); cut all of them alike"
                )
            places = iter(leaves)
            batch = map_leaves(lambda leaf: _first(leaf, axes[next(places)]), result, is_array)
        torch = loaded("torch")
        without = torch is not None and isinstance(self.model, torch.nn.Module)
        with torch.no_grad() if torch is not None and without else nullcontext():
            return self.model(batch)


def _first(x: Any, axis: int) -> Any:
    """The axis of windows first."""
    return x.movedim(axis, 0) if kind_of(x) == "torch" else np.moveaxis(x, axis, 0)
