"""Spectra over time and their inverse, whole or piece by piece: what neighbouring slices share is carried along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow.errors import CannotStream, ConfigError, DataError, names_errors
from bridgeflow.signal._chunks import State, as_marked, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import prepare
from bridgeflow.signal._specs import filtered_spec, hold_spec
from bridgeflow.signal.fourier import in_precision
from bridgeflow.signal.padding import extend
from bridgeflow.signal.spectral.short_time import Padding, ShortTimeFFT, parse_padding
from bridgeflow.signal.trends import Detrend
from bridgeflow.spec import ArraySpec

__all__ = ["LiveIstft", "LiveStft", "State", "no_slices", "spectral_spec"]

_SINGLE = {"float16", "bfloat16", "float32", "complex64"}


def no_slices(spec: ArraySpec, dtype: Any = np.float64) -> State:
    """The state of a stream of slices before its first chunk.

    Returns:
        samples: int64 [], how many have come.
        slices: int64 [], how many have gone out.
        tail: [..., samples], what the following slices still need.
        kind: text [], kind and dtype of the chunks.
    """
    return {
        "samples": np.zeros((), np.int64),
        "slices": np.zeros((), np.int64),
        "tail": np.zeros((*rows_shape(spec), 0), dtype),
        "kind": kind_mark(spec),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveStft:
    """Rows [..., time] to spectra [..., frequency, slices].

    Args:
        sft: the transform.
        power: give the squared magnitude, real.
        padding: beyond the ends; `"zeros"` and `"edge"` can be streamed.
        detr: taken off each slice.
    """

    sft: ShortTimeFFT
    power: bool = False
    padding: Padding = "zeros"
    detr: Detrend = None

    def __call__(self, x: Any) -> Any:
        """A whole recording, of at least half a window."""
        transform = self.sft.spectrogram if self.power else self.sft.stft_detrend
        return transform(x, detr=self.detr, padding=self.padding)

    @names_errors("stft")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        result = spectral_spec(spec, fs=self.sft.fs, is_complex=not self.power)
        if self.sft.onesided_fft and spec.dtype.startswith("c"):
            raise DataError(f"stft: complex data need fft_mode 'twosided' or 'centered', not {self.sft.fft_mode!r}")
        try:
            slices = None if spec.time is None else int(self.sft.p_num(spec.time))
        except ValueError as error:
            raise DataError(f"stft: {error}") from error
        if slices is not None:
            hold_spec(spec, slices * int(self.sft.mfft), mfft=int(self.sft.mfft))
        return result.fresh(shape=(*spec.shape[:-1], int(self.sft.f_pts), slices), fs=self.sft.fs / self.sft.hop)

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk; empty where it can."""
        if self.padding in {"zeros", "edge"}:
            return ""
        return f"padding={self.padding!r} mirrors samples that have not come yet; 'zeros' and 'edge' do not"

    @property
    def latency(self) -> int:
        """By how many samples the middle of the next slice lags behind the input, at most."""
        return int(self.sft.m_num - self.sft.m_num_mid - 1)

    @names_errors("stft")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk, of `no_slices`."""
        if self.stream_obstacle:
            raise CannotStream(f"stft: {self.stream_obstacle}")
        self.out_spec(spec.with_time(None))
        return no_slices(spec)

    @names_errors("stft")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: the slices that lie before its end, bit for bit those of the whole."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], in_precision(rows.values))
        if not chunk.shape[-1]:
            return rows.restore_new(self._spectra(chunk)), state
        if not state["samples"]:
            before = -self._begin(0)
            tail = extend(chunk[..., :1], parse_padding(self.padding), 0.0, before, 0)[..., :before]
        samples = int(state["samples"]) + int(chunk.shape[-1])
        held = join([tail, chunk])
        at = self._begin(int(state["slices"])) - (samples - int(held.shape[-1]))
        due = max((int(held.shape[-1]) - at - self.sft.m_num) // self.sft.hop + 1, 0)
        spectra = self._spectra(
            held[..., at : at + (due - 1) * self.sft.hop + self.sft.m_num] if due else held[..., :0]
        )
        kept = held[..., min(at + due * self.sft.hop, int(held.shape[-1]) - 1) :]
        next_state: State = {
            "samples": np.asarray(samples, np.int64),
            "slices": state["slices"] + due,
            "tail": own(kept),
            "kind": state["kind"],
        }
        return rows.restore_new(spectra), next_state

    def flush(self, state: State) -> Any | None:
        """The slices that stick out beyond the end."""
        samples, tail = int(state["samples"]), state["tail"]
        if not samples:
            return None
        try:
            count = int(self.sft.p_num(samples))
        except ValueError as error:
            raise DataError(f"stft: {error}") from error
        due = count - int(state["slices"])
        if due <= 0:
            return None
        begin = self._begin(int(state["slices"])) - (samples - int(tail.shape[-1]))
        end = begin + (due - 1) * self.sft.hop + self.sft.m_num
        held = extend(tail, parse_padding(self.padding), 0.0, 0, max(end - int(tail.shape[-1]), 0))
        return as_marked(self._spectra(held[..., begin:end]), state["kind"])

    def _begin(self, number: int) -> int:
        """The first sample of a slice, counted from `p_min` on."""
        return int((self.sft.p_min + number) * self.sft.hop - self.sft.m_num_mid)

    def _spectra(self, held: Any) -> Any:
        return self.sft.transformed(held, self.detr, power=self.power)


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveIstft:
    """Spectra [..., frequency, slices] back to rows [..., time].

    Args:
        sft: the transform to be undone.
        k1: how many samples there were; `None` for as many as the slices reach.
    """

    sft: ShortTimeFFT
    k1: int | None = None

    def __call__(self, S: Any) -> Any:
        """All slices of a recording."""
        return self.sft.istft(S, k1=self.k1)

    @names_errors("istft")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        result = spectral_spec(spec, fs=None, is_complex=not self.sft.onesided_fft)
        if spec.ndim < 2 or spec.shape[-2] not in (None, self.sft.f_pts):
            raise DataError(f"istft: spectra are [..., {self.sft.f_pts} frequencies, slices], got {spec}")
        if spec.fs is not None and abs(spec.fs * self.sft.hop / self.sft.fs - 1) > 1e-9:
            raise ConfigError(
                f"istft: this transform has slices at {self.sft.fs / self.sft.hop:g} Hz, the data say {spec.fs:g} Hz"
            )
        time = None if spec.time is None else self.sft.end_of(spec.time, 0, self.k1)
        return result.fresh(shape=(*spec.shape[:-2], time), fs=self.sft.fs)

    @property
    def latency(self) -> int:
        """By how many slices the samples lag behind the input, at most."""
        return int(-(-self.sft.m_num_mid // self.sft.hop) - self.sft.p_min)

    @names_errors("istft")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            slices: int64 [], how many have come.
            sums: [..., overlap], what the slices so far have added to samples to come.
            kind: text [], kind and dtype of the chunks.
        """
        self.out_spec(spec.with_time(None))
        return {
            "slices": np.zeros((), np.int64),
            "sums": np.zeros((*rows_shape(spec)[:-1], self.sft.overlap)),
            "kind": kind_mark(spec),
        }

    @names_errors("istft")
    def step(self, S: Any, state: State) -> tuple[Any, State]:
        """A chunk of slices [..., frequency, t], t >= 0: the samples that no later slice touches."""
        rows = prepare(S, -1)
        spectra = in_precision(rows.values, complex_too=True)
        slices, count = int(state["slices"]), int(spectra.shape[-1])
        sums, _ = together(state["sums"], spectra[..., 0, :0])
        if isinstance(sums, np.ndarray):
            sums = sums.astype(spectra.dtype if not self.sft.onesided_fft else spectra.real.dtype, copy=False)
        else:
            sums = sums.to(spectra.dtype if not self.sft.onesided_fft else spectra.dtype.to_real())
        added = self.sft.overlapped(spectra, sums) if count else sums
        settled = count * self.sft.hop
        next_state: State = {
            "slices": state["slices"] + count,
            "sums": added[..., settled:],
            "kind": state["kind"],
        }
        return rows.restore_new(added[..., self._inside(slices, settled)]), next_state

    def flush(self, state: State) -> Any | None:
        """The samples that the last slices reach."""
        slices = int(state["slices"])
        if not slices:
            return None
        least = int(self.sft.p_num(self.sft.m_num - self.sft.m_num_mid))
        reached = self.sft.samples(slices)
        if slices < least or (self.k1 is not None and self.k1 > reached):
            raise DataError(
                f"istft: {slices} slices reach {reached} samples; it takes at least {least} slices, and k1={self.k1}"
            )
        return as_marked(state["sums"][..., self._inside(slices, self.sft.m_num - self.sft.hop)], state["kind"])

    def _inside(self, slices: int, settled: int) -> slice:
        """Of samples from a slice's beginning on, those that lie in the recording."""
        begin = int((self.sft.p_min + slices) * self.sft.hop - self.sft.m_num_mid)
        end = settled if self.k1 is None else min(settled, self.k1 - begin)
        return slice(max(-begin, 0), max(end, 0))


def spectral_spec(spec: ArraySpec, *, fs: float | None, is_complex: bool) -> ArraySpec:
    """The spec of spectra, or of what comes of them, in the precision of the data; the shape is still theirs."""
    result = filtered_spec(spec, fs=fs)
    single = spec.dtype in _SINGLE
    dtype = ("complex64" if single else "complex128") if is_complex else ("float32" if single else "float64")
    return result.fresh(dtype=dtype)
