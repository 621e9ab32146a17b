"""Banks of filters: several filters over one input, each with the bits that it has alone.

The native engine loads and transposes a piece of the data once for all filters; for one or two rows the filters share a
vector. Every other engine, and every policy for gaps but the plain ones, takes one filter after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal._axes import permuted
from bridgeflow.signal._input import Prepared, as_ndarray, is_tracing, needs_dispatch, restore
from bridgeflow.signal._memory import empty
from bridgeflow.signal.design import Design, IirFilter
from bridgeflow.signal.design.base import solved
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Array, EngineName, Pass, Precision, make_pass, result_dtype
from bridgeflow.signal.iir.passes import as_state, both_ways, one_way, prepare_for_engine
from bridgeflow.signal.iir.sections import sections_of
from bridgeflow.signal.padding import Padtype, default_padlen, parse_padding

__all__ = ["same_sections", "sosfilt_bank", "sosfiltfilt_bank"]


@names_errors("sosfilt_bank")
def sosfilt_bank(
    sos: Any,
    x: Any,
    axis: int = -1,
    zi: Any = None,
    *,
    engine: EngineName | None = None,
    precision: Precision = "float64",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter one input with several filters at once; each result has the bits of `sosfilt` with that filter.

    The axes of the filters stand before the axis of time, as in torchaudio's `lfilter(batching=False)`.

    Args:
        sos: filters of n sections each, [..., n, 6], for example [filters, n, 6]; or a sequence of IIR designs, of
            which the shorter ones get sections that change nothing.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        axis: the axis of time.
        zi: state to start from, laid out as that of `sosfilt` for data of the shape of y; `None` for zero.
        engine, precision, nonfinite, scale, offset: as for `sosfilt`.

    Returns:
        y: [..., filters, time] for data [..., time], of x's kind and device; in its dtype too, but for integers and
            booleans, which become float64.
        zf: the state after the last sample, only if `zi` was given: [n, ..., filters, 2].

    Raises:
        DataError, NonFinite, NoRoute, MissingDependency: as for `sosfilt`.

    >>> import numpy as np
    >>> from bridgeflow.signal import Butter, sosfilt
    >>> bands = [Butter(order=2, cutoff=(low, low + 4.0), btype="bandpass", fs=100.0) for low in (4.0, 8.0, 12.0)]
    >>> x = np.random.default_rng(0).standard_normal((2, 500))
    >>> y = sosfilt_bank(bands, x)
    >>> y.shape, np.array_equal(y[:, 1], sosfilt(bands[1], x))
    ((2, 3, 500), True)
    """
    parse_word(nonfinite, Nonfinite, field="nonfinite")
    settings = make_pass(precision, scale, offset)
    if is_tracing():
        from bridgeflow.signal.iir import traced

        return traced.sosfilt_bank(sos, x, axis, zi, engine, settings, nonfinite)
    bank, filters = _bank_of(sos)
    name, data = prepare_for_engine(x, axis, engine, zi=zi, sos=bank)
    state = None if zi is None else as_state(_state_time_last(zi, data, bank.shape[1], filters), data, settings)
    y, zf = _all_forward(name, bank, data.values, state, settings, nonfinite, state=zi is not None)
    result = _placed(y, data, filters, 0)
    if zi is None:
        return result
    return result, data._replace(axis=-1).restore_state(_with_filters(zf, data, filters, 1))


@names_errors("sosfiltfilt_bank")
def sosfiltfilt_bank(
    sos: Any,
    x: Any,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    padlen: int | None = None,
    *,
    engine: EngineName | None = None,
    precision: Precision = "float64",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter one input forwards and backwards with several filters; each result has the bits of `sosfiltfilt`.

    Args:
        sos, x, axis: as for `sosfilt_bank`.
        padtype, padlen, engine, precision, nonfinite, scale, offset: as for `sosfiltfilt`; `padlen=None` gives each
            filter its own default.

    Returns:
        y: [..., filters, time] for data [..., time], of x's kind and device; in its dtype too, but for integers and
            booleans, which become float64.

    Raises:
        DataError: shapes or dtypes that do not fit, among them an x that is not longer than `padlen`.
        NonFinite, NoRoute, MissingDependency: as for `sosfilt`.

    >>> import numpy as np
    >>> from bridgeflow.signal import Butter, sosfiltfilt
    >>> bands = [Butter(order=2, cutoff=(low, low + 4.0), btype="bandpass", fs=100.0) for low in (4.0, 8.0, 12.0)]
    >>> x = np.random.default_rng(0).standard_normal((2, 500))
    >>> y = sosfiltfilt_bank(bands, x)
    >>> y.shape, np.array_equal(y[:, 1], sosfiltfilt(bands[1], x))
    ((2, 3, 500), True)
    """
    parse_word(nonfinite, Nonfinite, field="nonfinite")
    settings = make_pass(precision, scale, offset)
    if is_tracing():
        from bridgeflow.signal.iir import traced

        return traced.sosfiltfilt_bank(sos, x, axis, padtype, padlen, engine, settings, nonfinite)
    bank, filters = _bank_of(sos)
    each = [solved(design) for design in designs] if (designs := _designs_of(sos)) else list(bank)
    name, data = prepare_for_engine(x, axis, engine, sos=bank)
    samples = data.values.shape[-1]
    edges = [parse_padding(padtype, padlen, default_padlen(one), samples) for one in each]

    def run(number: int) -> Any:
        return both_ways(name, each[number], data.values, padtype, edges[number], settings, nonfinite)

    return _placed(_stacked(run, len(each), data.values), data, filters, 0)


def same_sections(designs: Sequence[IirFilter]) -> Array:
    """The sections of several designs as one bank [filters, n, 6]; sections that change nothing fill up the shorter.

    Raises:
        ConfigError: there is none, or one that has no sections.
    """
    if not designs:
        raise ConfigError("a bank must have at least one filter, got none")
    for design in designs:
        if not isinstance(design, IirFilter):
            raise ConfigError(f"a bank holds IIR designs, got {design!r}; use fir_filter for filters with taps")
    return _filled_up(tuple(solved(design).tobytes() for design in designs))


@lru_cache(maxsize=64)
def _filled_up(sections: tuple[bytes, ...]) -> Array:
    each = [np.frombuffer(raw).reshape(-1, 6) for raw in sections]
    bank = np.zeros((len(each), max(map(len, each)), 6))
    bank[..., [0, 3]] = 1.0
    for number, sos in enumerate(each):
        bank[number, : len(sos)] = sos
    bank.setflags(write=False)
    return bank


def _designs_of(sos: Any) -> Sequence[Any]:
    """The designs of a bank; none where it is given as an array."""
    if isinstance(sos, Design):
        return [sos]
    return sos if isinstance(sos, (list, tuple)) and any(isinstance(one, Design) for one in sos) else []


def _bank_of(sos: Any) -> tuple[Any, tuple[int, ...]]:
    """Filters [F, n, 6], an ndarray or a tensor that torch's dispatcher has to see; and the axes that F stands for."""
    if designs := _designs_of(sos):
        return same_sections(designs), (len(designs),)
    bank = sos if needs_dispatch(sos) else as_ndarray(sos)
    if bank.ndim < 2 or bank.shape[-1] != 6 or 0 in bank.shape:
        raise DataError(
            f"sosfilt_bank: sos must be filters of shape [..., sections, 6] or a sequence of designs, got an array of "
            f"shape {tuple(bank.shape)}"
        )
    filters = tuple(int(n) for n in bank.shape[:-2])
    rows = sections_of(bank.reshape(-1, 6))
    return rows.reshape(-1, int(bank.shape[-2]), 6), filters


def _all_forward(
    engine: EngineName | None,
    bank: Any,
    x: Any,
    zi: Any | None,
    settings: Pass,
    nonfinite: Nonfinite,
    *,
    state: bool,
) -> tuple[Any, Any]:
    """y [..., F, T] and the final state [S, ..., F, 2]; the latter may be `None` where it is not asked for."""
    if engine == "native" and nonfinite != "reset" and isinstance(x, np.ndarray) and isinstance(bank, np.ndarray):
        y, zf = native.sosfilt_bank(bank, x, zi, settings)
        if nonfinite == "raise" and not gaps.is_clean(zf):
            dirty = gaps.dirty_rows(zf)
            if dirty.any():
                before = None if zi is None else zi[..., int(np.argwhere(dirty)[0][-1]), :]
                raise gaps.refuse(x, before, np.asarray(dirty.any(axis=-1)))
        return y, zf
    states: list[Any] = []

    def run(number: int) -> Any:
        begun = None if zi is None else zi[..., number, :]
        passed = one_way(engine, bank[number], x, begun, settings, nonfinite)
        states.append(passed.zf)
        return passed.y

    y = _stacked(run, len(bank), x)
    if not state:
        return y, None
    if isinstance(x, np.ndarray):
        return y, np.stack(states, axis=-2)
    import torch

    return y, torch.stack(states, dim=-2)


def _stacked(run: Callable[[int], Any], filters: int, x: Any) -> Any:
    """The results [..., T] of several filters as one array [..., F, T]."""
    if not isinstance(x, np.ndarray):
        import torch

        return torch.stack([run(number) for number in range(filters)], dim=-2)
    y = empty((*x.shape[:-1], filters, x.shape[-1]), result_dtype(x.dtype))
    for number in range(filters):
        y[..., number, :] = run(number)
    return y


# --- where the filters stand ------------------------------------------------------------------------------------------


def _placed(y: Any, data: Prepared, filters: tuple[int, ...], lead: int) -> Any:
    """Results [rows..., F, T] as the kind that came in, the filters before the axis of time."""
    placed = _with_filters(y, data, filters, lead)
    if isinstance(placed, np.ndarray) and kind_of(data.source) != "numpy":
        placed = np.ascontiguousarray(placed)
    if not data.is_tensor:
        return restore(placed, data.source)
    return data._replace(axis=-1).restore(placed)


def _with_filters(y: Any, data: Prepared, filters: tuple[int, ...], lead: int) -> Any:
    """[lead..., rows..., F, n] with the axes of the filters, and n, where time was."""
    rows = data.values.ndim - 1
    y = y.reshape(*y.shape[: lead + rows], *filters, y.shape[-1])
    at = lead + data.axis % data.values.ndim
    order = list(range(y.ndim))
    core = order[lead + rows :]
    return permuted(y, [*order[:at], *core, *order[at : lead + rows]])


def _state_time_last(zi: Any, data: Prepared, sections: int, filters: tuple[int, ...]) -> Any:
    """A state [n, ..., filters, 2, ...] as [n, rows..., F, 2]."""
    rows, axis = [int(n) for n in data.values.shape[:-1]], data.axis % data.values.ndim
    state = zi if hasattr(zi, "movedim") else as_ndarray(zi)
    expected = (sections, *rows[:axis], *filters, 2, *rows[axis:])
    if tuple(state.shape) != expected:
        raise DataError(
            f"sosfilt_bank: with axis={data.axis}, {sections} sections and filters of shape {list(filters)}, "
            f"zi must have shape {expected}, got {tuple(state.shape)}"
        )
    order = list(range(len(expected)))
    core = order[1 + axis : 1 + axis + len(filters) + 1]
    moved = permuted(state, [*order[: 1 + axis], *order[1 + axis + len(core) :], *core])
    return moved.reshape(sections, *rows, -1, 2)
