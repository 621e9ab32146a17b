"""Rules: what a crossing does, as data, and the one function that applies them.

A crossing is a fold over rules. Each `Rule` says *when* it applies to an `ArraySpec`, what it does (`action`,
`reason`), what comes out (`then`, a spec) and how it is done (`apply`, to the array). `routes` lists the rules of every
pair of kinds.

Because `when` and `then` see specs alone, the same rules convert real arrays, let `explain` say what will happen before
any data moves, print the documentation page, and give the tests their list of cells to cover.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from bridgeflow.errors import NoRoute, Reason, StageId
from bridgeflow.policy import (
    Action,
    Bfloat16,
    Copy,
    Grad,
    Kind,
    Layout,
    Nulls,
    Ragged,
    parse_copy,
    parse_word,
    words,
)
from bridgeflow.spec import ArraySpec, Exchange

__all__ = [
    "LISTS",
    "Options",
    "Route",
    "Rule",
    "Step",
    "Target",
    "Then",
    "When",
    "as_kind",
    "copies",
    "fold",
    "fresh",
    "has",
    "has_layout",
    "is_kind",
    "parse_options",
    "refuse",
    "same",
    "unchanged",
    "views",
    "without",
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller asked for, checked on entry; every field has the meaning documented on `to_numpy`."""

    copy: Copy = "auto"
    grad: Grad = "detach"
    bfloat16: Bfloat16 = "float32"
    nulls: Nulls | float = "error"
    ragged: Ragged = "error"
    pad_value: float = 0
    layout: Layout | None = None
    writable: bool | None = None
    device: str | None = None


def parse_options(**raw: Any) -> Options:
    """`Options` from raw keyword values; a wrong word is a `ValueError` that lists the right ones."""
    raw["copy"] = parse_copy(raw.get("copy", "auto"))
    for name, alias in (("grad", Grad), ("bfloat16", Bfloat16), ("ragged", Ragged)):
        if name in raw:
            parse_word(raw[name], alias, field=name)
    if raw.get("layout") is not None:
        parse_word(raw["layout"], Layout, field="layout")
    if (writable := raw.get("writable")) not in (None, True, False):
        raise ValueError(f"writable must be True, False or None, got {writable!r}")
    pad_value = raw.get("pad_value", 0)
    if not isinstance(pad_value, Real):
        raise ValueError(f"pad_value must be a number, got {pad_value!r}")
    nulls = raw.get("nulls", "error")
    if isinstance(nulls, bool) or not isinstance(nulls, Real):
        try:
            parse_word(nulls, Nulls, field="nulls")
        except ValueError:
            allowed = ", ".join(map(repr, words(Nulls)))
            raise ValueError(f"nulls must be one of {allowed}, or a number to fill in, got {nulls!r}") from None
    return Options(**raw)


When: TypeAlias = Callable[[ArraySpec, Options], bool]
Then: TypeAlias = Callable[[ArraySpec, Options], ArraySpec]
Apply: TypeAlias = Callable[[Any, ArraySpec, Options], Any]


def unchanged(spec: ArraySpec, _options: Options) -> ArraySpec:
    """The spec as it is."""
    return spec


def fresh(spec: ArraySpec, _options: Options) -> ArraySpec:
    """The spec in new memory."""
    return spec.fresh()


def same(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    """The array as it is."""
    return x


def _copied(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    return np.array(x, order="C")


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    `action` is `"refuse"` where there is no faithful counterpart. `says` is the sentence users read, with `{spec}` and
    `{options}` filled in; `remedy` is what they can do about it.
    """

    name: str
    when: When
    action: Action | Literal["refuse"] = "view"
    reason: Reason | None = None
    says: str = ""
    remedy: str = ""
    then: Then = unchanged
    apply: Apply = same


# --- how the table is written -----------------------------------------------------------------------------------------


def refuse(name: str, says: str, remedy: str, *, when: When | None = None, reason: Reason | None = None) -> Rule:
    """A rule that raises `NoRoute`.

    Here and in `views` and `copies`, `when` is the flag called `name`, and `reason` is `name`, unless passed.
    """
    why = reason or cast(Reason, name)
    return Rule(name=name, when=when or has(name), action="refuse", reason=why, says=says, remedy=remedy)


def views(name: str, says: str, *, when: When | None = None, then: Then = unchanged, apply: Apply = same) -> Rule:
    """A rule that keeps the memory; by default the array as it is."""
    return Rule(name=name, when=when or has(name), says=says, then=then, apply=apply)


def copies(
    name: str,
    says: str,
    remedy: str = "",
    *,
    when: When | None = None,
    reason: Reason | None = None,
    then: Then = fresh,
    apply: Apply = _copied,
    action: Action = "copy",
) -> Rule:
    """A rule that writes new memory; by default the values of an ndarray, in C order."""
    why = reason or cast(Reason, name)
    return Rule(name, when or has(name), action, why, says, remedy, then, apply)


def has(*flags: str) -> When:
    """The condition that a spec has one of these flags."""
    some = frozenset(flags)
    return lambda spec, _options: not some.isdisjoint(spec.flags)


def has_layout(*layouts: str) -> When:
    """The condition that a spec has one of these layouts."""
    return lambda spec, _options: spec.layout in layouts


def is_kind(kind: Kind) -> When:
    """The condition that a value is of this kind."""
    return lambda spec, _options: spec.kind == kind


def without(*flags: str, **changes: Any) -> Then:
    """The spec without these flags, and with these changes."""
    return lambda spec, _options: replace(spec, flags=spec.flags - set(flags), **changes)


@dataclass(frozen=True)
class Step:
    """A rule that applies, with the specs before and after it."""

    rule: Rule
    before: ArraySpec
    after: ArraySpec

    @property
    def detail(self) -> str:
        """Why, in words."""
        return self.rule.says.format(spec=self.before)

    @property
    def remedy(self) -> str:
        """What the caller can do about it."""
        return self.rule.remedy.format(spec=self.before) or 'pass copy="auto"'

    @property
    def nbytes(self) -> int | None:
        """Bytes that this step writes."""
        return 0 if self.rule.action == "view" else self.after.nbytes


@dataclass(frozen=True)
class Route:
    """How a value described by `source` becomes `target`: the steps, and the worst of their actions."""

    source: ArraySpec
    target: ArraySpec
    steps: tuple[Step, ...]
    options: Options = field(repr=False)

    @property
    def action(self) -> Action:
        """`"move"` if any step changes the device, else `"copy"` if any step copies, else `"view"`."""
        actions = {step.rule.action for step in self.steps}
        return "move" if "move" in actions else "copy" if "copy" in actions else "view"

    @property
    def cause(self) -> Step | None:
        """The first step that writes new memory; `None` for a view."""
        return next((step for step in self.steps if step.rule.action != "view"), None)

    @property
    def reason(self) -> Reason | None:
        """The word for why memory is not shared; `None` for a view."""
        return None if self.cause is None else self.cause.rule.reason

    @property
    def detail(self) -> str:
        """The sentence for why memory is not shared; empty for a view."""
        return "" if self.cause is None else self.cause.detail

    @property
    def nbytes(self) -> int | None:
        """Bytes newly written, over all steps; `None` where a length is unknown."""
        sizes = [step.nbytes for step in self.steps]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def run(self, x: Any, options: Options | None = None) -> Any:
        """Carry the value along the route; `options` are the caller's own, where the route was looked up under others
        that compare equal (0.0 and -0.0).
        """
        for step in self.steps:
            x = step.rule.apply(x, step.before, options or self.options)
        return x

    def exchange(self, *, place: str = "$", stage: StageId | None = None) -> Exchange:
        """The record of this crossing."""
        return Exchange(
            source=self.source,
            target=self.target,
            action=self.action,
            nbytes=self.nbytes,
            reason=self.reason,
            detail=self.detail,
            place=place,
            stage=stage,
        )


Target = Literal["numpy", "torch", "arrow"]

LISTS = frozenset({"list", "large_list", "list_view", "large_list_view"})
"""Arrow layouts whose rows may differ in length."""


def fold(spec: ArraySpec, rules: tuple[Rule, ...], options: Options) -> tuple[Step, ...]:
    """The steps that apply, each seeing the spec that the one before leaves."""
    steps: list[Step] = []
    for rule in rules:
        if not rule.when(spec, options):
            continue
        if rule.action == "refuse":
            raise NoRoute(rule.reason or "unknown", rule.says.format(spec=spec), rule.remedy)
        if rule.reason == "asked" and any(step.rule.action != "view" for step in steps):
            continue  # copy="always", and an earlier step has already written memory of its own
        steps.append(Step(rule, spec, rule.then(spec, options)))
        spec = steps[-1].after
    return tuple(steps)


def as_kind(spec: ArraySpec, kind: Kind, **changes: Any) -> ArraySpec:
    """The same memory seen by another kind."""
    return replace(spec, kind=kind, **changes)
