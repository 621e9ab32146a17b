"""`Scipy`: a function of SciPy as a transform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias, TypeVar

from bridgeflow.errors import ConfigError
from bridgeflow.policy import Gaps
from bridgeflow.signal.scipy_call import ScipyCall
from bridgeflow.signal.scipy_list import FUNCTIONS
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import fields
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.registry import register

__all__ = ["Scipy"]

Value: TypeAlias = bool | int | float | str | tuple[Any, ...] | None
"""What an option may hold: a plain value, or a tuple of such."""

_Self = TypeVar("_Self", bound="Scipy")

_OWN: Final = ("function", "keys", "axis", "nonfinite", "max_gap", "keep_gaps")
_DEFAULTS: Final = {"keys": None, "axis": -1, "nonfinite": "propagate", "max_gap": None, "keep_gaps": False}


@register
@dataclass(frozen=True, kw_only=True, init=False, repr=False)
class Scipy(GapTransform):
    """A function of `scipy.signal`, `scipy.ndimage`, `scipy.fft` or `scipy.stats`, along the last axis of signals.

    Args:
        function: its name in `bridgeflow.signal.scipy_list.FUNCTIONS`, a closed list: `"signal.medfilt"`.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`. What they do in SciPy depends on
            the function; `keep_gaps` is for those that give as many samples as they are given.
        named: its options, under SciPy's names. In a configuration they stand beside `function`:
            `Scipy: {function: signal.medfilt, kernel_size: 5}`.
        options: the same as pairs, which is how they are kept.

    Arrays [..., time] of any kind become [..., n], or [...] where the function makes one number of a row, with SciPy's
    numbers for each row. Integers are read as float64 but by functions that keep their dtype (`ndimage`, medians);
    half precision is computed in float32. Without gradients. It does not stream: SciPy's functions take a whole
    recording, or whole windows (after `Window`).

    Raises:
        ConfigError: a function or an option that is not in the list; a value of the wrong type or range.
        DataError: data that SciPy refuses.
        NoRoute: a tensor whose gradient is wanted.

    >>> import numpy as np
    >>> Scipy("signal.medfilt", kernel_size=3)(np.array([[1.0, 9.0, 2.0, 3.0, 2.0]]))
    array([[1., 2., 3., 2., 2.]])
    >>> Scipy("stats.kurtosis", fisher=False)(np.array([[1.0, 2.0, 3.0, 4.0]])).round(2)
    array([1.64])
    """

    function: str
    options: tuple[tuple[str, Value], ...] = ()
    nonfinite: Gaps = "propagate"

    def __init__(
        self,
        function: str,
        *,
        keys: str | Iterable[str] | None = None,
        axis: int = -1,
        nonfinite: Gaps = "propagate",
        max_gap: int | None = None,
        keep_gaps: bool = False,
        options: Iterable[tuple[str, Value]] = (),
        **named: Value,
    ) -> None:
        object.__setattr__(self, "function", function)
        own = {"keys": keys, "axis": axis, "nonfinite": nonfinite, "max_gap": max_gap, "keep_gaps": keep_gaps}
        for name, value in own.items():
            object.__setattr__(self, name, value)
        together = {name: _tuples(value) for name, value in (*options, *named.items())}
        object.__setattr__(self, "options", tuple(sorted(together.items())))
        super().__post_init__()
        self._call  # noqa: B018  refused here, when made, or never
        if self._call.entry.length(997, self._call.options) != (997,):
            self.require_places()

    def __repr__(self) -> str:
        named = [f"{name}={value!r}" for name, value in self.options]
        own = [f"{name}={getattr(self, name)!r}" for name in _OWN[1:] if getattr(self, name) != _DEFAULTS[name]]
        return f"Scipy({', '.join([repr(self.function), *named, *own])})"

    @cached_property
    def _call(self) -> ScipyCall:
        return ScipyCall(self.function, dict(self.options))

    def transform_rows(self, x: Any) -> Any:
        """The function of each row."""
        return self._call(x)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """What the list says of the function's result."""
        return self._call.out_spec(spec)

    @property
    def stream_obstacle(self) -> str:
        """SciPy's functions have no state."""
        instead = self._call.entry.instead
        hint = f"{instead} does the same live" if instead else "cut windows first, with Window"
        return f"Scipy: {self.function} needs the whole recording; {hint}"

    # --- configuration ---

    def to_config(self) -> dict[str, Any]:
        """Its own fields and the options of the function side by side."""
        options = {name: fields.plain(value) for name, value in self.options}
        own = {name: fields.plain(getattr(self, name)) for name in _OWN[1:]}
        return {"Scipy": {"function": self.function, **options, **own}}

    @classmethod
    def field_names(cls, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """Its own fields and the options of the function."""
        name = raw.get("function")
        entry = FUNCTIONS.get(name) if isinstance(name, str) else None
        return (*_OWN, *(entry.options if entry else [name for name in raw if name not in _OWN]))

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The transform with these configuration values."""
        if "function" not in raw:
            raise ConfigError("Scipy needs the field 'function'")
        own = {name: value for name, value in raw.items() if name in _OWN}
        return cls(**fields.parse_fields(cls, own), options=[pair for pair in raw.items() if pair[0] not in _OWN])

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema: for each function its options."""
        schema = fields.field_schema(cls)
        del schema["properties"]["options"]
        schema["properties"]["function"]["enum"] = sorted(FUNCTIONS)
        schema["allOf"] = [
            {
                "if": {"properties": {"function": {"const": name}}},
                "then": {
                    "properties": {
                        **dict.fromkeys(_OWN, True),
                        **{
                            option: {**fields.hint_schema(one.hint), "description": f"As scipy.{name} documents it."}
                            for option, one in entry.options.items()
                        },
                    },
                    "required": [option for option, one in entry.options.items() if one.required],
                    "additionalProperties": False,
                },
            }
            for name, entry in sorted(FUNCTIONS.items())
        ]
        del schema["additionalProperties"]
        return schema


def _tuples(value: Any) -> Any:
    """Lists, as configurations write tuples, as tuples."""
    return tuple(_tuples(one) for one in value) if isinstance(value, (list, tuple)) else value
