"""A pipeline as a torch module, stage by stage, of torch's own operators alone.

Filters, resampling and spectra become products of matrices (`linear_modules`). Stages whose `apply` is torch's
arithmetic anyway run as they are. Crossings have nothing to do where all is a tensor. Everything else is refused by
name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bridgeflow.errors import CannotExport, ConfigError, StageId, quoted
from bridgeflow.pipeline.linear_modules import (
    AverageSpectrum,
    Convolution,
    Ends,
    MelSpectra,
    Recursion,
    Resampling,
    ShortTime,
    Slices,
    TwoPasses,
    frames_of,
)
from bridgeflow.policy import parse_word
from bridgeflow.signal.design import FirFilter, IirFilter
from bridgeflow.signal.fir import zero_phase_delay
from bridgeflow.signal.iir.sections import sosfilt_zi
from bridgeflow.signal.padding import default_padlen
from bridgeflow.signal.resampling import antialias
from bridgeflow.signal.resampling.polyphase import Polyphase
from bridgeflow.signal.spectral.average import with_both_sides
from bridgeflow.transforms import (
    BandPower,
    Cast,
    Clone,
    Decimate,
    Detach,
    FilterBank,
    LeafTransform,
    MelSpectrogram,
    Mfcc,
    Normalize,
    Resample,
    SharedView,
    SignalFilter,
    Spectrogram,
    Stft,
    ToArrow,
    ToDevice,
    ToNumpy,
    ToTensor,
    Welch,
    Window,
)
from bridgeflow.tree import compile_recipe

__all__ = ["ModulePrecision", "PipelineModule", "pipeline_module"]

ModulePrecision = Literal["float64", "float32"]
"""What filters, resampling and spectra compute in."""

_CROSSINGS: Final = (ToTensor, ToNumpy, ToArrow, ToDevice, Detach, Clone, SharedView)

_APPLIED: Final = frozenset(
    {
        "Clip",
        "Detrend",
        "LogAmplitude",
        "Magnitude",
        "MelSpectrogram",
        "Mfcc",
        "MixChannels",
        "PickChannels",
        "Polarity",
        "Reference",
        "Scale",
        "Standardize",
        "TimeReverse",
    }
)
"""Transforms whose `apply` is made of torch's operators for tensors, by name; others say `exportable = True`."""


class PipelineModule(nn.Sequential):
    """The stages of a pipeline as modules; from `Compose.to_module`.

    Takes a tensor as the pipeline takes an array, a sample or a batch, on any device. `labels` names the stages.
    """

    def __init__(self, modules: Sequence[nn.Module], labels: Sequence[StageId]) -> None:
        super().__init__(*modules)
        self.labels = tuple(labels)


def pipeline_module(row: Sequence[tuple[StageId, Any]], key: str | None, precision: ModulePrecision) -> PipelineModule:
    """The stages of a row as one module; see `Compose.to_module`."""
    parse_word(precision, ModulePrecision, field="precision")
    dtype = getattr(torch, precision)
    modules: list[nn.Module] = []
    labels: list[StageId] = []
    for label, stage in _of_key(row, key):
        try:
            module = _module(stage, dtype)
        except CannotExport as error:
            error.stage = label
            raise
        if module is not None:
            modules.append(module)
            labels.append(label)
    return PipelineModule(modules, labels)


def _of_key(row: Sequence[tuple[StageId, Any]], key: str | None) -> list[tuple[StageId, LeafTransform]]:
    """The stages that an array goes through, which is a tensor of its own in a module."""
    for label, stage in row:
        if not isinstance(stage, LeafTransform):
            error = CannotExport(
                f"{type(stage).__name__} is not a transform of arrays, which alone have a module; leave it out, or put "
                "it into the model"
            )
            error.stage = label
            raise error
    if key is None:
        keyed = {stage.keys for _, stage in row if stage.keys is not None}
        if len(keyed) > 1 or any(len(keys) > 1 for keys in keyed):
            named = sorted({one for keys in keyed for one in keys})
            raise ConfigError(f"to_module: stages take several arrays ({', '.join(named)}); name one: key={named[0]!r}")
        return list(row)
    chosen = [(label, stage) for label, stage in row if _selects(stage.keys, key)]
    if not chosen:
        raise ConfigError(f"to_module: no stage takes the array {quoted(key)}; leave key out, or name another")
    return chosen


def _selects(keys: Any, key: str) -> bool:
    data: Any = None
    for part in reversed(key.split(".")):
        data = {part: data}
    if keys is None:
        return True
    from bridgeflow.errors import KeyNotFound

    try:
        return bool(compile_recipe(data, lambda leaf: leaf is None, keys)[0].places)
    except KeyNotFound:
        return False


def _module(stage: LeafTransform, dtype: torch.dtype) -> nn.Module | None:
    """A stage as a module; `None` where it has nothing to do on tensors."""
    if stage.random:
        raise CannotExport(f"{type(stage).__name__} draws random numbers; export pipeline.eval()")
    if isinstance(stage, _CROSSINGS):
        _require(stage, getattr(stage, "layout", None) is None, "layout moves axes of images")
        return None
    if getattr(stage, "nonfinite", None) in ("reset", "interpolate"):
        raise CannotExport(
            f"{type(stage).__name__}: nonfinite={stage.nonfinite!r} looks at values; "  # type: ignore[attr-defined]
            "pass 'raise' or 'propagate', which a module does not look for"
        )
    for cls, builder in _BUILDERS.items():
        if type(stage) is cls:
            if getattr(stage, "axis", -1) == -1:
                return builder(stage, dtype)
            _require(stage, cls in _SAME_SHAPE, "axis must be -1")
            return _Moved(builder(stage, dtype), stage.axis)  # type: ignore[attr-defined]
    if type(stage).__name__ in _APPLIED or getattr(stage, "exportable", False):
        return _Applied(stage)
    raise CannotExport(
        f"{type(stage).__name__} has no module; leave it out, or, where apply is made of torch's operators, give its "
        "class exportable = True"
    )


def _require(stage: LeafTransform, condition: bool, what: str) -> None:
    if not condition:
        raise CannotExport(f"{type(stage).__name__}: {what}, which has no module; choose otherwise, or leave it out")


class _Applied(nn.Module):
    """A stage whose `apply` is made of torch's operators. What looks at values does not."""

    def __init__(self, stage: LeafTransform) -> None:
        super().__init__()
        if "nonfinite" in {field.name for field in fields(stage)}:
            stage = replace(stage, nonfinite="propagate")  # type: ignore[call-arg]
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """The array transformed."""
        y: Tensor = self.stage.apply(x)
        return y


class _Moved(nn.Module):
    """A module of the last axis, on another."""

    def __init__(self, module: nn.Module, axis: int) -> None:
        super().__init__()
        self.module, self.axis = module, axis

    def forward(self, x: Tensor) -> Tensor:
        """The array transformed."""
        y: Tensor = self.module(x.movedim(self.axis, -1)).movedim(-1, self.axis)
        return y


class _Casting(nn.Module):
    """Values in another type, as torch casts them; saturated first where that is asked for."""

    def __init__(self, stage: Cast) -> None:
        super().__init__()
        self.dtype = getattr(torch, stage.dtype)
        self.saturates, self.nearest = stage.on_overflow == "saturate", stage.rounding == "nearest"

    def forward(self, x: Tensor) -> Tensor:
        """The array in its new type."""
        if not self.dtype.is_floating_point and not self.dtype.is_complex and x.is_floating_point():
            x = x.round() if self.nearest else x
            if self.saturates:
                bounds = torch.iinfo(self.dtype)
                x = x.clamp(bounds.min, bounds.max)
        return x.to(self.dtype)


class _Every(nn.Module):
    """Every q-th sample of what a filter gives."""

    def __init__(self, module: nn.Module, q: int) -> None:
        super().__init__()
        self.module, self.q = module, q

    def forward(self, x: Tensor) -> Tensor:
        """The array filtered, and fewer samples of it."""
        y: Tensor = self.module(x)[..., :: self.q]
        return y


class _Bank(nn.Module):
    """Several filters of one input [..., T]: [..., filters, T]."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.filters = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """The array filtered."""
        return torch.stack([one(x) for one in self.filters], dim=-2)


class _Normalizing(nn.Module):
    """`(x - center) / scale`, by statistics that are buffers."""

    center: Tensor
    scale: Tensor

    def __init__(self, stage: Normalize) -> None:
        super().__init__()
        center, scale = (np.array(one, np.float64)[..., np.newaxis] for one in (stage.center, stage.scale))
        self.register_buffer("center", torch.from_numpy(center))
        self.register_buffer("scale", torch.from_numpy(np.where(scale == 0, 1.0, scale)))

    def forward(self, x: Tensor) -> Tensor:
        """The array at its level and scale, in the arithmetic of its type."""
        result = x.dtype if x.is_floating_point() else _FLOATS.get(x.dtype, torch.float64)
        work = torch.promote_types(result, torch.float32)
        return ((x.to(work) - self.center.to(work)) / self.scale.to(work)).to(result)


_FLOATS: Final = dict.fromkeys((torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16), torch.float32)
"""Integers that float32 holds exactly."""


class _Windows(nn.Module):
    """Windows of rows [..., T]: [..., windows, length], or [windows, ..., length]."""

    def __init__(self, stage: Window) -> None:
        super().__init__()
        self.framing, self.first, self.held = stage.framing(None), stage.first, stage.pad == "edge"

    def forward(self, x: Tensor) -> Tensor:
        """The array cut."""
        missing = self.framing.missing(x.shape[-1])
        if missing and self.held:
            x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], missing)], dim=-1)
        elif missing:
            x = pad(x, (0, missing))
        windows = frames_of(x, self.framing.length, self.framing.hop)
        return windows.movedim(-2, 0) if self.first else windows


def _of_filter(stage: SignalFilter, dtype: torch.dtype) -> nn.Module:
    design = stage.designed
    if isinstance(design, FirFilter):
        taps = np.asarray(design.taps, np.float64)
        ends: Ends = "steady" if stage.initial == "steady" else "zero"
        if stage.mode == "zero_phase":
            zero_phase_delay(taps)
            ends = "odd"
        return Convolution(taps, ends, stage.scale, stage.offset, dtype)
    assert isinstance(design, IirFilter)
    sections = np.asarray(design.sos, np.float64)
    return _recursive(sections, stage.mode, stage.initial, stage.scale, stage.offset, dtype)


def _of_bank(stage: FilterBank, dtype: torch.dtype) -> nn.Module:
    choices: Any = (stage.mode, stage.initial, stage.scale, stage.offset, dtype)
    return _Bank([_recursive(np.asarray(design.sos), *choices) for design in stage.designed])


def _recursive(
    sections: Any, mode: str, initial: str, scale: float, offset: float, dtype: torch.dtype
) -> Recursion | TwoPasses:
    steady = sosfilt_zi(sections) if mode == "zero_phase" or initial == "steady" else None
    recursion = Recursion(sections, steady, scale, offset, dtype)
    return TwoPasses(recursion, default_padlen(sections)) if mode == "zero_phase" else recursion


def _of_resample(stage: Resample, dtype: torch.dtype) -> nn.Module:
    if stage.from_hz is None:
        raise CannotExport("Resample: from_hz is left to the recordings; give it, as at_rate(fs) does")
    _require(stage, stage.padtype in ("constant", "edge"), f"padtype={stage.padtype!r}")
    plan = stage.live.plan
    if plan is None:
        return nn.Identity()
    if not isinstance(plan, Polyphase):
        raise CannotExport(f"Resample: the ratio of {stage.from_hz!r} and {stage.to_hz!r} Hz has too many phases")
    return Resampling(plan, "steady" if stage.padtype == "edge" else "zero", stage.cval or 0.0, dtype)


def _of_decimate(stage: Decimate, dtype: torch.dtype) -> nn.Module:
    sections, _ = antialias(stage.q, stage.n, stage.ftype)
    if sections is None:
        plan: Any = stage.live.plan  # type: ignore[union-attr]
        return Resampling(plan, "zero", 0.0, dtype)
    mode = "zero_phase" if stage.zero_phase else "causal"
    return _Every(_recursive(np.asarray(sections), mode, "zero", 1.0, 0.0, dtype), stage.q)


def _of_stft(stage: Stft, dtype: torch.dtype) -> nn.Module:
    _require(stage, stage.padding in ("zeros", "edge"), f"padding={stage.padding!r}")
    _require(stage, stage.detr in (None, "constant"), f"detr={stage.detr!r}")
    sft: Any = stage.sft
    power = isinstance(stage, Spectrogram)
    return ShortTime(_weights(sft), _places(sft), stage.padding == "edge", stage.detr == "constant", power, dtype)


def _of_mel(stage: MelSpectrogram | Mfcc, dtype: torch.dtype) -> nn.Module:
    live = stage.live
    mirrored = live.padding == "reflect"
    return MelSpectra(
        _weights(live.sft), _whole(live.sft), live.before, mirrored, live.power / 2, live._finished, dtype
    )


def _of_welch(stage: Welch | BandPower, dtype: torch.dtype) -> nn.Module:
    _require(stage, stage.detrend in (None, "constant"), f"detrend={stage.detrend!r}")
    _require(stage, stage.average == "mean", f"average={stage.average!r}")
    live: Any = stage.live
    average, finish = (live.welch, live._bands) if isinstance(stage, BandPower) else (live, None)
    sft = average.sft
    sides = with_both_sides(sft, np.ones(int(sft.f_pts)))
    return AverageSpectrum(_weights(sft), _whole(sft), stage.detrend == "constant", sides, finish, dtype)


def _whole(sft: Any) -> Slices:
    """Slices that lie within the signal."""
    return Slices(0, int(sft.m_num), int(sft.hop), int(sft.m_num), ())


def _weights(sft: Any) -> Any:
    """Window and transform of a slice, [samples, frequencies]."""
    return np.asarray(sft._fft(np.eye(sft.m_num) * np.asarray(sft.win).conj()))


def _places(sft: Any) -> Slices:
    """Where the slices of a number of samples lie: SciPy's rule, which repeats after each hop, for a few lengths."""
    least = int(sft.m_num - sft.m_num_mid)
    counts = tuple(int(sft.p_max(least + more)) - int(sft.p_min) for more in range(sft.hop))
    return Slices(int(sft.p_min * sft.hop - sft.m_num_mid), int(sft.m_num), int(sft.hop), least, counts)


def _of_cast(stage: Cast, dtype: torch.dtype) -> nn.Module:
    return _Casting(stage)


def _of_normalize(stage: Normalize, dtype: torch.dtype) -> nn.Module:
    return _Normalizing(stage)


def _of_window(stage: Window, dtype: torch.dtype) -> nn.Module:
    _require(stage, stage.pad in ("drop", "zeros", "edge"), f"pad={stage.pad!r}")
    if isinstance(stage.length, str) or isinstance(stage.hop, str):
        raise CannotExport("Window: a duration needs the rate of recordings; give samples")
    return _Windows(stage)


_BUILDERS: Final[dict[type, Callable[[Any, torch.dtype], nn.Module]]] = {
    Cast: _of_cast,
    Decimate: _of_decimate,
    FilterBank: _of_bank,
    BandPower: _of_welch,
    MelSpectrogram: _of_mel,
    Mfcc: _of_mel,
    Welch: _of_welch,
    Normalize: _of_normalize,
    Resample: _of_resample,
    SignalFilter: _of_filter,
    Spectrogram: _of_stft,
    Stft: _of_stft,
    Window: _of_window,
}

_SAME_SHAPE: Final = (Cast, Decimate, Normalize, Resample, SignalFilter)
