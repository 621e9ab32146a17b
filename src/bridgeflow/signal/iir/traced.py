"""The public functions as `torch.compile` and `torch.export` see them: tensors and constants, nothing to look at.

Imported only while one of the two is tracing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch

from bridgeflow.errors import ConfigError, names_errors
from bridgeflow.signal import design as designs
from bridgeflow.signal._torch import float_dtype, in_units
from bridgeflow.signal.design import IirFilter
from bridgeflow.signal.design.base import solved
from bridgeflow.signal.iir.engine import Pass
from bridgeflow.signal.iir.torch_ops import sosfilt_tensor, sosfiltfilt_tensor
from bridgeflow.signal.padding import Padtype

__all__ = ["constant_sections", "sosfilt", "sosfilt_bank", "sosfiltfilt", "sosfiltfilt_bank"]


@names_errors("sosfilt")
def sosfilt(
    sos: Any, x: Any, axis: int, zi: Any, engine: Any, settings: Pass, nonfinite: str, out: Any
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`bridgeflow.signal.sosfilt`, traced."""
    if out is not None:
        raise ConfigError("out= cannot be traced by torch.compile or torch.export; copy the result yourself")
    units = _units(x, settings, nonfinite)
    y, zf = sosfilt_tensor(_sections(sos), units, zi, axis, settings.precision, engine=engine or "auto")
    y = y.to(float_dtype(x, double=False))
    return y if zi is None else (y, zf)


@names_errors("sosfiltfilt")
def sosfiltfilt(
    sos: Any,
    x: Any,
    axis: int,
    padtype: Padtype | None,
    padlen: int | None,
    engine: Any,
    settings: Pass,
    nonfinite: str,
) -> torch.Tensor:
    """`bridgeflow.signal.sosfiltfilt`, traced."""
    units = _units(x, settings, nonfinite)
    y = sosfiltfilt_tensor(_sections(sos), units, axis, padtype, padlen, settings.precision, engine=engine or "auto")
    return y.to(float_dtype(x, double=False))


def sosfilt_bank(
    sos: Any, x: Any, axis: int, zi: Any, engine: Any, settings: Pass, nonfinite: str
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`bridgeflow.signal.sosfilt_bank`, traced: one filter after the other."""
    units = _units(x, settings, nonfinite)
    at = axis % units.ndim
    bank, filters = _bank(sos)
    before = None if zi is None else zi.flatten(1 + at, at + len(filters)) if filters else zi.unsqueeze(1 + at)
    parts = [
        sosfilt_tensor(
            one,
            units,
            None if before is None else before.select(1 + at, f),
            at,
            settings.precision,
            engine=engine or "auto",
        )
        for f, one in enumerate(bank)
    ]
    y = _side_by_side([part[0] for part in parts], at, filters).to(float_dtype(x, double=False))
    return y if zi is None else (y, _side_by_side([part[1] for part in parts], 1 + at, filters))


def sosfiltfilt_bank(
    sos: Any,
    x: Any,
    axis: int,
    padtype: Padtype | None,
    padlen: int | None,
    engine: Any,
    settings: Pass,
    nonfinite: str,
) -> torch.Tensor:
    """`bridgeflow.signal.sosfiltfilt_bank`, traced: one filter after the other."""
    units = _units(x, settings, nonfinite)
    bank, filters = _bank(sos)
    parts = [
        sosfiltfilt_tensor(one, units, axis, padtype, padlen, settings.precision, engine=engine or "auto")
        for one in bank
    ]
    return _side_by_side(parts, axis % units.ndim, filters).to(float_dtype(x, double=False))


def _bank(sos: Any) -> tuple[list[torch.Tensor], tuple[int, ...]]:
    """The sections of each filter, and the axes that the filters have."""
    if isinstance(sos, (list, tuple)) and any(isinstance(one, IirFilter) for one in sos):
        return [_sections(one) for one in sos], (len(sos),)
    bank = torch.as_tensor(sos, dtype=torch.float64)
    return list(bank.reshape(-1, *bank.shape[-2:]).unbind(0)), tuple(bank.shape[:-2])


def _side_by_side(parts: list[torch.Tensor], axis: int, filters: tuple[int, ...]) -> torch.Tensor:
    if not filters:
        return parts[0]
    together = torch.stack(parts, dim=axis)
    return together.reshape(*together.shape[:axis], *filters, *together.shape[axis + 1 :])


def _units(x: Any, settings: Pass, nonfinite: str) -> torch.Tensor:
    if nonfinite != "propagate":
        raise ConfigError(
            f"nonfinite={nonfinite!r} looks at values, which torch.compile and torch.export do not allow; "
            "pass nonfinite='propagate'"
        )
    return in_units(torch.as_tensor(x), settings.scale, settings.offset)


def _sections(sos: Any) -> torch.Tensor:
    return _designed(sos) if isinstance(sos, IirFilter) else torch.as_tensor(sos, dtype=torch.float64)


def _solved_tensor(design: IirFilter) -> torch.Tensor:
    return torch.from_numpy(np.array(solved(design)))


_designed = cast(
    Callable[[IirFilter], torch.Tensor],
    torch.compiler.assume_constant_result(_solved_tensor),  # type: ignore[no-untyped-call]
)


def _built_tensor(design: str, **fields: Any) -> torch.Tensor:
    return _solved_tensor(cast(IirFilter, getattr(designs, design)(**fields)))


constant_sections = cast(
    Callable[..., torch.Tensor],
    torch.compiler.assume_constant_result(_built_tensor),  # type: ignore[no-untyped-call]
)
"""The sections of a design, by its class name: built while tracing, a constant from then on."""
