"""The sampling rate at each place of a pipeline over recordings, for transforms that need one and do not say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridgeflow.errors import ConfigError, StageId
from bridgeflow.pipeline.window_plan import rates_after
from bridgeflow.recordings import Recordings
from bridgeflow.transforms import Transform

__all__ = ["RecordingRates"]


@dataclass
class RecordingRates:
    """Follows the rates of recordings through stages; they are opened when a rate is first asked for.

    Args:
        open: opens them.

    Attributes:
        recordings: the recordings, where they were opened.
        lost: the stage after which the data have no rate any more, `None` where they have one.
    """

    open: Callable[[], Recordings]
    recordings: Recordings | None = None
    lost: StageId | None = None
    _stages: list[Transform] = field(default_factory=list)

    def add(self, stage: Transform) -> None:
        """The next stage."""
        self._stages.append(stage)

    def here(self, keys: Any) -> float | None:
        """The rate in Hz of the arrays that `keys` selects after all stages so far, the same in all recordings.

        Raises:
            ConfigError: they have different rates.
            DataError: the recordings cannot be opened.
        """
        if self.recordings is None:
            self.recordings = self.open()
        layouts = {
            tuple((name, one.fs, one.shape, one.dtype) for name, one in recording.columns.items()): recording
            for recording in self.recordings
        }
        rates = {rate for one in layouts.values() for rate in rates_after(one, self._stages, keys)}
        if len(rates - {None}) > 1:
            several = " and ".join(f"{rate:g}" for rate in sorted(rate for rate in rates if rate is not None))
            raise ConfigError(
                f"fs: the data here are at {several} Hz; give fs, bring them to one rate with Resample, or select "
                "columns of one with keys"
            )
        self.lost = StageId.of(self._stages[-1], len(self._stages)) if self._stages and rates == {None} else None
        return next(iter(rates - {None}), None)
