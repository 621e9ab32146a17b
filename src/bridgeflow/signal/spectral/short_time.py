"""`ShortTimeFFT`: SciPy's class of that name, on NumPy, torch and Arrow arrays.

Where windows lie, how they are scaled and what their dual is, a `scipy.signal.ShortTimeFFT` tells, once. What is done
to the data is done here: all slices of a recording in a few large transforms, in the precision of the data.
"""

from __future__ import annotations

import copy
from types import GenericAlias
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np

from bridgeflow.errors import ConfigError, DataError, names_errors, naming
from bridgeflow.policy import parse_word
from bridgeflow.ranges import hold
from bridgeflow.signal._axes import moved
from bridgeflow.signal._chunks import count_rows
from bridgeflow.signal._input import as_ndarray, prepare
from bridgeflow.signal._numbers import as_number
from bridgeflow.signal._windows import named_window
from bridgeflow.signal.fourier import Fourier, in_precision, is_complex, like_data, spectral_dtype, squared_magnitude
from bridgeflow.signal.framing import strided_windows
from bridgeflow.signal.padding import extend, pad_zeros
from bridgeflow.signal.trends import Detrend, without_trend

__all__ = ["FftMode", "Padding", "ScaleTo", "ShortTimeFFT"]

Array: TypeAlias = np.ndarray[Any, Any]

FftMode: TypeAlias = Literal["twosided", "centered", "onesided", "onesided2X"]
"""Which frequencies, in which order: SciPy's words."""

ScaleTo: TypeAlias = Literal["magnitude", "psd"]
"""Scaled so that a sine shows its amplitude, or its power density."""

Padding: TypeAlias = Literal["zeros", "edge", "even", "odd"]
"""How a recording goes on beyond its ends, for the slices that stick out."""

_EXTENSIONS: Final = {"zeros": "constant", "edge": "edge", "even": "reflect", "odd": "antireflect"}

_BLOCK: Final = 1 << 16
"""Samples of slices that are transformed at once: window and transform meet in the second-level cache."""


class ShortTimeFFT:
    """Short-time Fourier transform and its inverse; parameters, numbers and geometry are `scipy.signal.ShortTimeFFT`'s.

    Everything that class tells about itself (`f`, `t(n)`, `p_min`, `p_max(n)`, `dual_win`, `invertible`, ...) this one
    tells too. Its attributes can be set as SciPy's (`fs`, `T`, `fft_mode`, `mfft`, `phase_shift`; `scale_to`); do so
    before threads share it.

    Args:
        win: the window's samples.
        hop: samples from one slice to the next.
        fs: sampling rate in Hz.
        fft_mode: `"onesided"`, `"onesided2X"` (doubled where it stands for two sides; needs a scaling), `"twosided"` or
            `"centered"`. Complex data need one of the last two.
        mfft: length of the transform, at least the window's; `None` for the window's.
        dual_win: for the inverse; `None` for the canonical one.
        scale_to: `"magnitude"`, `"psd"` or `None`.
        phase_shift: of slices, in samples; `None` lets the phase refer to the start of each slice.

    Raises:
        ConfigError: what SciPy refuses.

    >>> sft = ShortTimeFFT.from_window("hann", fs=100.0, nperseg=16, noverlap=8)
    >>> x = np.sin(np.arange(64.0))
    >>> S = sft.stft(x)
    >>> S.shape, np.allclose(sft.istft(S, k1=64), x)
    ((9, 9), True)
    """

    def __init__(
        self,
        win: Any,
        hop: int,
        fs: float,
        *,
        fft_mode: FftMode = "onesided",
        mfft: int | None = None,
        dual_win: Any = None,
        scale_to: ScaleTo | None = None,
        phase_shift: int | None = 0,
    ) -> None:
        from scipy.signal import ShortTimeFFT as SciPys

        own = None if dual_win is None else as_ndarray(dual_win).copy()
        try:
            self._scipy: Any = SciPys(
                as_ndarray(win).copy(),
                as_number(hop),
                as_number(fs),
                fft_mode=fft_mode,
                mfft=mfft,
                dual_win=own,
                scale_to=scale_to,
                phase_shift=phase_shift,
            )
        except ValueError as error:
            raise ConfigError(f"ShortTimeFFT: {error}") from error

    @classmethod
    def from_window(
        cls,
        win_param: str | tuple[Any, ...] | float,
        fs: float,
        nperseg: int,
        noverlap: int,
        *,
        symmetric_win: bool = False,
        fft_mode: FftMode = "onesided",
        mfft: int | None = None,
        scale_to: ScaleTo | None = None,
        phase_shift: int | None = 0,
    ) -> ShortTimeFFT:
        """With a window by the name that `scipy.signal.get_window` knows.

        Args:
            win_param: name, or name and parameters.
            fs: sampling rate in Hz.
            nperseg: samples of the window.
            noverlap: samples that neighbours share, `nperseg - hop`.
            symmetric_win: symmetric rather than periodic.
            fft_mode, mfft, scale_to, phase_shift: as for the class.
        """
        win = named_window(win_param, nperseg, periodic=not symmetric_win)
        return cls(
            win, nperseg - noverlap, fs, fft_mode=fft_mode, mfft=mfft, scale_to=scale_to, phase_shift=phase_shift
        )

    @classmethod
    def of(cls, sft: Any) -> ShortTimeFFT:
        """The transform that a `scipy.signal.ShortTimeFFT` is now, however that was made."""
        transform = cls.__new__(cls)
        transform._scipy = copy.copy(sft)
        return transform

    @classmethod
    def from_dual(
        cls,
        dual_win: Any,
        hop: int,
        fs: float,
        *,
        fft_mode: FftMode = "onesided",
        mfft: int | None = None,
        scale_to: ScaleTo | None = None,
        phase_shift: int | None = 0,
    ) -> ShortTimeFFT:
        """With the window of the inverse; the window is its canonical dual.

        Args:
            dual_win: samples of the window of the inverse.
            hop, fs, fft_mode, mfft, scale_to, phase_shift: as for the class.
        """
        options: dict[str, Any] = {
            "fft_mode": fft_mode, "mfft": mfft, "scale_to": scale_to, "phase_shift": phase_shift
        }  # fmt: skip
        return cls._by_scipy("from_dual", as_ndarray(dual_win).copy(), hop, fs, **options)

    @classmethod
    def from_win_equals_dual(
        cls,
        desired_win: Any,
        hop: int,
        fs: float,
        *,
        fft_mode: FftMode = "onesided",
        mfft: int | None = None,
        scale_to: ScaleTo | Literal["unitary"] | None = None,
        phase_shift: int | None = 0,
    ) -> ShortTimeFFT:
        """With the window nearest to a desired one that is its own dual, up to scaling. For SciPy 1.16 and later.

        Args:
            desired_win: samples of the window that is wanted.
            hop, fs, fft_mode, mfft, phase_shift: as for the class.
            scale_to: as for the class; or `"unitary"`.
        """
        options: dict[str, Any] = {
            "fft_mode": fft_mode, "mfft": mfft, "scale_to": scale_to, "phase_shift": phase_shift
        }  # fmt: skip
        return cls._by_scipy("from_win_equals_dual", as_ndarray(desired_win).copy(), hop, fs, **options)

    @classmethod
    def _by_scipy(cls, way: str, *args: Any, **options: Any) -> ShortTimeFFT:
        from scipy.signal import ShortTimeFFT as SciPys

        try:
            return cls.of(getattr(SciPys, way)(*args, **options))
        except ValueError as error:
            raise ConfigError(f"ShortTimeFFT: {error}") from error

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __getattr__(self, name: str) -> Any:
        """Geometry: what SciPy's object says."""
        if name == "_scipy" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._scipy, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Attributes are those of SciPy's object."""
        if name == "_scipy":
            object.__setattr__(self, name, value)
            return
        try:
            setattr(self._scipy, name, value)
        except ValueError as error:
            raise ConfigError(f"ShortTimeFFT: {error}") from error

    def scale_to(self, scaling: ScaleTo) -> None:
        """Scale the window, and the dual one with it: `"magnitude"` or `"psd"`."""
        try:
            self._scipy.scale_to(scaling)
        except ValueError as error:
            raise ConfigError(f"ShortTimeFFT: {error}") from error

    def __repr__(self) -> str:
        sft = self._scipy
        return (
            f"ShortTimeFFT(win=<{sft.m_num} samples>, hop={sft.hop}, fs={sft.fs}, fft_mode={sft.fft_mode!r}, "
            f"mfft={sft.mfft}, scaling={sft.scaling!r}, phase_shift={sft.phase_shift})"
        )

    # --- forward ---

    def stft(
        self,
        x: Any,
        p0: int | None = None,
        p1: int | None = None,
        *,
        k_offset: int = 0,
        padding: Padding = "zeros",
        axis: int = -1,
    ) -> Any:
        """The transform of all slices; see `stft_detrend`."""
        return self.stft_detrend(x, None, p0, p1, k_offset=k_offset, padding=padding, axis=axis)

    @names_errors("stft")
    def stft_detrend(
        self,
        x: Any,
        detr: Detrend,
        p0: int | None = None,
        p1: int | None = None,
        *,
        k_offset: int = 0,
        padding: Padding = "zeros",
        axis: int = -1,
    ) -> Any:
        """The transform of slices `p0, ..., p1 - 1`, a trend taken off each.

        Args:
            x: data of any shape and kind, at least half a window long. Only read.
            detr: `"linear"`, `"constant"`, a function of slices [..., samples], or `None`.
            p0: first slice; `None` for the first that touches the data.
            p1: one after the last; `None` likewise.
            k_offset: samples by which the data are taken to be shifted to the left.
            padding: beyond the ends.
            axis: of time; it becomes the axis of frequency.

        Returns:
            S: the shape of x with `f_pts` along `axis`, and one axis of slices after all; as x in kind and device,
                complex128, or complex64 for data of at most single precision.

        Raises:
            DataError: complex data in a one-sided mode, too few samples, slices that there are not.
        """
        rows = prepare(x, axis)
        samples, least = int(rows.values.shape[-1]), self.m_num - self.m_num_mid
        if samples < least:
            raise DataError(f"stft: len(x)={samples} must be >= ceil(m_num/2) = {least}!")
        try:
            first, last = self._scipy.p_range(samples, p0, p1)
        except ValueError as error:
            raise DataError(f"stft: {error}") from error
        spectra = self._slices(rows.values, first, last, k_offset, parse_padding(padding), detr)
        place = axis if axis >= 0 else axis - 1
        return rows.restore_new(moved(spectra, -2, place))

    @names_errors("spectrogram")
    def spectrogram(
        self,
        x: Any,
        y: Any = None,
        detr: Detrend = None,
        *,
        p0: int | None = None,
        p1: int | None = None,
        k_offset: int = 0,
        padding: Padding = "zeros",
        axis: int = -1,
    ) -> Any:
        """The squared magnitude of the transform, real; or the cross-spectrogram with `y`, complex.

        Args:
            x, detr, p0, p1, k_offset, padding, axis: as for `stft_detrend`.
            y: of the shape of x; `None` or x itself for x.
        """
        rows = prepare(x, axis)
        same: dict[str, Any] = {"p0": p0, "p1": p1, "k_offset": k_offset, "padding": padding, "axis": -1}
        spectra = self.stft_detrend(rows.values, detr, **same)
        if y is None or y is x:
            power = squared_magnitude(spectra)
        else:
            other = self.stft_detrend(prepare(y, axis).values, detr, **same)
            power = spectra * other.conj()
        return rows.restore_new(moved(power, -2, axis if axis >= 0 else axis - 1))

    def _slices(self, x: Any, first: int, last: int, k_offset: int, padding: str, detr: Detrend) -> Any:
        """Rows [..., T] to spectra [..., f, slices]."""
        begin = first * self.hop - self.m_num_mid + k_offset
        end = begin + (last - first - 1) * self.hop + self.m_num
        samples = x.shape[-1]
        # in floating point from here on: mirrored upside down, counts need not fit their integers
        inside = in_precision(x[..., max(begin, 0) : min(max(end, 0), samples)])
        return self.transformed(extend(inside, padding, 0.0, max(-begin, 0), max(end - samples, 0)), detr)

    def transformed(self, x: Any, detr: Detrend = None, *, power: bool = False) -> Any:
        """All whole slices of rows [..., T] that begin with a slice: [..., f, slices]; or their squared magnitude."""
        if self.onesided_fft and is_complex(x):
            raise DataError(
                f"Complex-valued `x` not allowed for self.fft_mode={self.fft_mode!r}; set fft_mode to 'twosided' or "
                "'centered'"
            )
        slices = strided_windows(in_precision(x), self.m_num, self.hop)
        with naming("stft"):
            hold(count_rows(slices) * int(self.mfft), count_rows(x) * int(x.shape[-1]), mfft=int(self.mfft))
        weights = like_data(self.win.conj(), slices)
        if not isinstance(slices, np.ndarray):
            if not slices.numel():  # MKL makes an error of it
                nothing = slices.new_zeros((*slices.shape[:-1], self.f_pts), dtype=spectral_dtype(slices))
                return (squared_magnitude(nothing) if power else nothing).transpose(-1, -2)
            spectra = self._fft(without_trend(slices, detr) * weights).transpose(-1, -2)
            return squared_magnitude(spectra) if power else spectra
        rows = int(np.prod(slices.shape[:-2]))
        count, step = slices.shape[-2], max(1, _BLOCK // max(rows * self.m_num, 1))
        dtype = np.result_type(slices.dtype, np.complex64)
        spectra = np.empty((*slices.shape[:-1], self.f_pts), np.zeros((), dtype).real.dtype if power else dtype)
        for at in range(0, count, step):
            piece = self._fft(without_trend(slices[..., at : at + step, :], detr) * weights)
            spectra[..., at : at + step, :] = squared_magnitude(piece) if power else piece
        return spectra.swapaxes(-1, -2)

    # --- inverse ---

    @names_errors("istft")
    def istft(self, S: Any, k0: int = 0, k1: int | None = None, *, f_axis: int = -2, t_axis: int = -1) -> Any:
        """The samples `k0, ..., k1 - 1` of the recording whose transform from slice `p_min` on is S.

        Args:
            S: as `stft` gives it, of any kind. Only read.
            k0: first sample.
            k1: one after the last; `None` for as far as the slices reach.
            f_axis: of frequency.
            t_axis: of slices.

        Returns:
            x: S without its axis of slices, time at `f_axis` (at `t_axis` where frequency came last); as S in kind,
                device and precision; real for one-sided modes.

        Raises:
            DataError: shapes that do not fit, samples that there are not.
            ConfigError: the window is not invertible at this hop.
        """
        ndim = np.ndim(S) if isinstance(S, (list, tuple)) else len(prepare(S, t_axis).values.shape)
        if ndim < 2:
            raise DataError(f"istft: S needs an axis of frequency and one of slices, got {ndim} axes")
        if f_axis % ndim == t_axis % ndim:
            raise DataError(f"istft: f_axis={f_axis} may not be equal to t_axis={t_axis}!")
        rows = prepare(S, t_axis)
        spectra = moved(rows.values, f_axis % ndim - (f_axis % ndim > t_axis % ndim), -2)
        bins, slices = int(spectra.shape[-2]), int(spectra.shape[-1])
        if bins != self.f_pts:
            raise DataError(f"istft: S.shape[f_axis]={bins} must be equal to self.f_pts={self.f_pts}!")
        k1 = self.end_of(slices, k0, k1)
        whole = self.overlapped(spectra, None)
        start = self.p_min * self.hop - self.m_num_mid
        x = whole[..., k0 - start : k1 - start]
        return rows.restore_new(moved(x, -1, f_axis % ndim if f_axis % ndim < ndim - 1 else t_axis % ndim))

    def end_of(self, slices: int, k0: int, k1: int | None) -> int:
        """One after the last sample that `istft` gives of `slices` slices.

        Raises:
            DataError: too few slices, samples that do not exist.
        """
        least = self.m_num - self.m_num_mid
        if slices < self.p_num(least):
            raise DataError(f"istft: S.shape[t_axis]={slices} needs to have at least {self.p_num(least)} slices!")
        end = self.samples(slices)
        k1 = end if k1 is None else k1
        if not self.k_min <= k0 < k1 <= end:
            raise DataError(f"istft: (k_min={self.k_min}) <= (k0={k0}) < (k1={k1}) <= (k_max={end}) is false!")
        if k1 - k0 < least:
            raise DataError(
                f"istft: (k1={k1}) - (k0={k0}) = {k1 - k0} has to be at least the half the window length {least}!"
            )
        return k1

    def samples(self, slices: int) -> int:
        """How many samples, from sample 0 on, that many slices from `p_min` on reach."""
        return int((slices + self.p_min - 1) * self.hop + self.m_num - self.m_num_mid)

    @property
    def overlap(self) -> int:
        """Samples that the following slices still add to."""
        return int((-(-self.m_num // self.hop) - 1) * self.hop)

    def overlapped(self, S: Any, begun: Any) -> Any:
        """Slices [..., f, slices] turned back and added up: [..., slices * hop + overlap], from the first slice on.

        Args:
            S: ndarray or tensor.
            begun: [..., overlap], sums that slices before these have begun; `None` for none.
        """
        pieces = self._ifft(in_precision(S, complex_too=True).swapaxes(-1, -2))
        pieces = pieces * like_data(self._dual, pieces)
        slices, hop, parts = pieces.shape[-2], self.hop, -(-self.m_num // self.hop)
        blocks = pad_zeros(pieces, 0, parts * hop - self.m_num).reshape(*pieces.shape[:-1], parts, hop)
        if begun is None:
            begun = _zeros(pieces, (*pieces.shape[:-2], (parts - 1) * hop))
        sums = pad_zeros(begun, 0, slices * hop).reshape(*begun.shape[:-1], slices + parts - 1, hop)
        for part in range(parts - 1, -1, -1):  # each sample from its first slice to its last
            if isinstance(sums, np.ndarray):
                sums[..., part : part + slices, :] += blocks[..., part, :]
            else:
                after = parts - 1 - part
                sums = sums + pad_zeros(blocks[..., part, :].flatten(-2), part * hop, after * hop).reshape(sums.shape)
        return sums.reshape(*sums.shape[:-2], (slices + parts - 1) * hop)

    @property
    def _dual(self) -> Array:
        try:
            return cast(Array, self._scipy.dual_win)
        except ValueError as error:
            raise ConfigError(f"istft: the window is not invertible with hop={self.hop} ({error})") from error

    # --- one slice ---

    @property
    def _turn(self) -> int:
        return int((self.phase_shift + self.m_num_mid) % self.m_num)

    @property
    def _sides(self) -> Array:
        """What `"onesided2X"` multiplies frequencies with: more where they stand for two sides."""
        factors = np.ones(self.f_pts)
        factors[1 : -1 if self.mfft % 2 == 0 else None] = 2**0.5 if self.scaling == "psd" else 2.0
        return factors

    def _fft(self, slices: Any) -> Any:
        """Weighted slices [..., m_num] to spectra [..., f_pts]."""
        fft = Fourier(slices)
        if self.phase_shift is not None:
            slices = fft.roll(pad_zeros(slices, 0, self.mfft - self.m_num), -self._turn)
        if self.fft_mode in {"onesided", "onesided2X"}:
            spectra = fft.rfft(slices, self.mfft)
            return spectra * like_data(self._sides, spectra) if self.fft_mode == "onesided2X" else spectra
        spectra = fft.fft(slices, self.mfft)
        return fft.roll(spectra, self.mfft // 2) if self.fft_mode == "centered" else spectra

    def _ifft(self, spectra: Any) -> Any:
        """Spectra [..., f_pts] to slices [..., m_num]."""
        fft = Fourier(spectra)
        if self.fft_mode in {"onesided", "onesided2X"}:
            if self.fft_mode == "onesided2X":
                spectra = spectra / like_data(self._sides, spectra)
            slices = fft.irfft(spectra, self.mfft)
        else:
            turned = fft.roll(spectra, -(self.mfft // 2)) if self.fft_mode == "centered" else spectra
            slices = fft.ifft(turned, self.mfft)
        if self.phase_shift is not None:
            slices = fft.roll(slices, self._turn)
        return slices[..., : self.m_num]


def parse_padding(padding: str) -> str:
    """The extension that a padding's word means."""
    return _EXTENSIONS[parse_word(padding, Padding, field="padding")]


def _zeros(x: Any, shape: tuple[int, ...]) -> Any:
    return np.zeros(shape, x.dtype) if isinstance(x, np.ndarray) else x.new_zeros(shape)
