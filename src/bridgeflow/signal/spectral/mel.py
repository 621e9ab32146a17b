"""Spectra on the mel scale: slices as librosa and torchaudio lay them, filters as either makes them, whole or live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.signal._chunks import as_marked, join, own, together
from bridgeflow.signal._input import prepare
from bridgeflow.signal._specs import hold_spec
from bridgeflow.signal.fourier import in_precision, like_data
from bridgeflow.signal.padding import extend
from bridgeflow.signal.spectral.live import State, no_slices, spectral_spec
from bridgeflow.signal.spectral.short_time import ShortTimeFFT
from bridgeflow.spec import ArraySpec

__all__ = ["LiveMel", "LogKind", "MelNorm", "MelScale", "SlicePadding", "log_amplitude", "mel_filters"]

Array: TypeAlias = np.ndarray[Any, Any]

MelScale: TypeAlias = Literal["htk", "slaney"]
"""`2595 log10(1 + f / 700)`, as in HTK; or linear below 1 kHz and logarithmic above, as in Slaney's toolbox."""

MelNorm: TypeAlias = Literal["slaney", "none"]
"""Filters of unit area, or of unit height."""

SlicePadding: TypeAlias = Literal["zeros", "reflect"]
"""How a recording goes on beyond its ends, for half a slice."""

LogKind: TypeAlias = Literal["db", "ln"]
"""Decibels, `10 log10(max(x, floor) / ref)`; or the natural logarithm, `ln(x + floor)`."""


def _to_mel(frequency: Array, scale: str) -> Array:
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + frequency / 700.0))
    linear = frequency / (200.0 / 3)
    with np.errstate(divide="ignore"):
        above = 15.0 + np.log(np.maximum(frequency, 1000.0) / 1000.0) / (np.log(6.4) / 27.0)
    return np.where(frequency >= 1000.0, above, linear)


def _to_hz(mel: Array, scale: str) -> Array:
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    return np.where(mel >= 15.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)), mel * (200.0 / 3))


def mel_filters(fs: float, n_fft: int, n_mels: int, fmin: float, fmax: float, scale: MelScale, norm: MelNorm) -> Array:
    """Triangular filters, evenly spaced on the mel scale, as `librosa.filters.mel`: [n_mels, n_fft // 2 + 1] float64.

    >>> mel_filters(16000.0, 512, 40, 0.0, 8000.0, "slaney", "slaney").shape
    (40, 257)
    """
    bins = np.fft.rfftfreq(n_fft, 1.0 / fs)
    ends = _to_mel(np.array([fmin, fmax]), scale)
    edges = _to_hz(np.linspace(ends[0], ends[1], n_mels + 2), scale)
    widths = np.diff(edges)
    ramps = edges[:, None] - bins
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    weights: Array = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        weights = weights * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return weights


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveMel:
    """Rows [..., time] to mel spectra [..., mel, slices], and on to cepstra if asked.

    Args:
        sft: the transform of a slice: window of `n_fft` samples, hop, unshifted.
        filters: [mel, frequency].
        power: exponent of the magnitude.
        center: whether slices are centered on multiples of the hop, the ends padded by half a slice; or begin there.
        padding: beyond the ends.
        log: of the spectra; `None` for none.
        floor, ref, top_db: see `log_amplitude`.
        dct: [coefficients, mel], what makes cepstra; `None` for none.
    """

    sft: ShortTimeFFT
    filters: Array
    power: float = 2.0
    center: bool = True
    padding: SlicePadding = "zeros"
    log: LogKind | None = None
    floor: float = 1e-10
    top_db: float | None = None
    dct: Array | None = None

    @property
    def before(self) -> int:
        """Samples that are added before the first."""
        return int(self.sft.m_num) // 2 if self.center else 0

    @property
    def least(self) -> int:
        """Samples that a recording has to have."""
        if not self.center:
            return int(self.sft.m_num)
        return self.before + 1 if self.padding == "reflect" else 1

    def count(self, samples: int) -> int:
        """Slices of so many samples."""
        return (samples + 2 * self.before - int(self.sft.m_num)) // int(self.sft.hop) + 1

    def _enough(self, samples: int) -> None:
        if samples < self.least:
            raise DataError(f"a mel spectrogram of these slices needs {self.least} samples, got {samples}")

    def __call__(self, x: Any) -> Any:
        """A whole recording."""
        rows = prepare(x, -1)
        values = in_precision(rows.values)
        self._enough(int(values.shape[-1]))
        padded = extend(values, self._mode, 0.0, self.before, self.before)
        return rows.restore_new(self._finished(self._spectra(padded)))

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        spectrum = spectral_spec(spec, fs=self.sft.fs, is_complex=False)
        if spec.dtype.startswith("c"):
            raise DataError("a mel spectrogram is of real data; take parts, or the magnitude, first")
        slices = None
        if spec.time is not None:
            self._enough(spec.time)
            slices = self.count(spec.time)
            hold_spec(spec, slices * int(self.sft.mfft), n_fft=int(self.sft.mfft))
        rows = len(self.filters) if self.dct is None else len(self.dct)
        return spectrum.fresh(shape=(*spec.shape[:-1], rows, slices), fs=self.sft.fs / self.sft.hop)

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk; empty where it can."""
        if self.top_db is None:
            return ""
        return f"top_db={self.top_db:g} is below the loudest of the whole; top_db=None looks at none"

    @property
    def latency(self) -> int:
        """By how many samples the middle of the next slice lags behind the input, at most."""
        return int(self.sft.m_num) - int(self.sft.m_num) // 2 - 1

    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk, of `spectral.live.no_slices`."""
        return no_slices(spec, self.out_spec(spec.with_time(None)).dtype)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: the slices that lie before its end, bit for bit those of the whole."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], in_precision(rows.values))
        held = join([tail, chunk]) if chunk.shape[-1] else tail
        samples, done, hop = int(state["samples"]) + int(chunk.shape[-1]), int(state["slices"]), int(self.sft.hop)
        first = samples - int(held.shape[-1])
        due = max((samples + self.before - int(self.sft.m_num)) // hop + 1 - done, 0)
        if samples < self.least:
            due = 0
        spectra = self._finished(self._between(held, first, done, due, 0))
        begin = (done + due) * hop - self.before
        keep = max(min(begin, samples - self.before - 1), 0) if due or first else 0
        next_state: State = {
            "samples": np.asarray(samples, np.int64),
            "slices": np.asarray(done + due, np.int64),
            "tail": own(held[..., max(keep - first, 0) :]),
            "kind": state["kind"],
        }
        return rows.restore_new(spectra), next_state

    def flush(self, state: State) -> Any | None:
        """The slices that stick out beyond the end."""
        samples, done, held = int(state["samples"]), int(state["slices"]), state["tail"]
        if not samples:
            return None
        self._enough(samples)
        due = self.count(samples) - done
        if due <= 0:
            return None
        slices = self._between(held, samples - int(held.shape[-1]), done, due, self.before)
        return as_marked(self._finished(slices), state["kind"])

    def _between(self, held: Any, first: int, done: int, due: int, after: int) -> Any:
        """`due` slices from number `done` on.

        Args:
            held: samples from number `first` on.
            after: samples to add after the last.
        """
        hop, length = int(self.sft.hop), int(self.sft.m_num)
        begin = done * hop - self.before
        if not due:
            return self._spectra(held[..., :0])
        before = self.before if begin < 0 and not first else 0
        held = extend(held, self._mode, 0.0, before, after)
        at = begin - first + before
        return self._spectra(held[..., at : at + (due - 1) * hop + length])

    @property
    def _mode(self) -> str:
        return "constant" if self.padding == "zeros" else "reflect"

    def _spectra(self, x: Any) -> Any:
        """All whole slices of rows: [..., frequency, slices], the magnitude to its power."""
        power = self.sft.transformed(x, power=True)
        return power if self.power == 2 else power ** (self.power / 2)

    def _finished(self, power: Any) -> Any:
        """What comes of slices [..., frequency, slices]: [..., mel or coefficient, slices]."""
        mel = self._product(self.filters, power)
        if self.log is not None:
            mel = log_amplitude(mel, kind=self.log, floor=self.floor, top_db=self.top_db, axes=2)
        return mel if self.dct is None else self._product(self.dct, mel)

    def _product(self, matrix: Array, x: Any) -> Any:
        """`matrix @ x`; of ndarrays each sum goes from the first number to the last, so that the bits of a slice do not
        depend on how many there are. Numbers of weight 0 are left out.
        """
        if not isinstance(x, np.ndarray):
            return like_data(matrix, x) @ x
        rest = (*x.shape[:-2], x.shape[-1])
        rows = np.ascontiguousarray(np.moveaxis(x, -2, 0)).reshape(x.shape[-2], -1)
        product = np.zeros((len(matrix), rows.shape[1]), x.dtype)
        term = np.empty_like(rows[0]) if len(rows) else rows
        weights = matrix.astype(x.dtype)
        for number, row in enumerate(weights):
            for place in np.flatnonzero(row).tolist():
                np.multiply(rows[place], row[place], out=term)
                product[number] += term
        return np.ascontiguousarray(np.moveaxis(product.reshape(len(matrix), *rest), 0, -2))


def log_amplitude(
    x: Any, *, kind: LogKind = "db", factor: float = 10.0, floor: float = 1e-10, ref: float = 1.0,
    top_db: float | None = None, axes: int | None = None,
) -> Any:  # fmt: skip
    """Numbers of at least 0 on a logarithmic scale; negative ones count as 0 for decibels, and have no `"ln"` (NaN).

    Args:
        x: ndarray or tensor of floats.
        kind: see `LogKind`.
        factor: 10 for power, 20 for amplitude.
        floor: the least number whose logarithm is taken; for `"ln"` what is added.
        ref: what 0 dB is.
        top_db: how far below the largest number results may lie, at most; `None` for no limit.
        axes: how many of the last axes the largest is taken over; `None` for all.
    """
    is_array = isinstance(x, np.ndarray)
    if kind == "ln":
        if not is_array:
            return (x + floor).log()
        with np.errstate(invalid="ignore", divide="ignore"):  # torch says nothing of negative numbers either
            return np.log(x + np.asarray(floor, x.dtype))
    level = factor * np.log10(max(ref, floor))
    y = (
        np.log10(np.maximum(x, np.asarray(floor, x.dtype))) if is_array else x.clamp(min=floor).log10()
    ) * factor - level
    if is_array:
        y = y.astype(x.dtype, copy=False)
    if top_db is None or 0 in tuple(y.shape):
        return y
    last = tuple(range(-(axes or y.ndim), 0))
    if is_array:
        return np.maximum(y, y.max(last, keepdims=True) - np.asarray(top_db, y.dtype))
    return y.maximum(y.amax(last, keepdim=True) - top_db)
