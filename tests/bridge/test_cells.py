"""Three questions to every cell of the matrix: are the values right, is it a view exactly when the table of routes
says so, and does copy="never" either share or say why not? And: is every rule of the table met by some cell?
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import Masked, describe, route, table, trace
from bridgeflow.bridge.api import options_of
from bridgeflow.bridge.ragged import GATHER, ROWS, Padded, rows_route
from bridgeflow.bridge.routes import has_rows, received, rules
from bridgeflow.bridge.rules import Route, Rule
from bridgeflow.errors import CopyRefused, NoRoute, Reason
from bridgeflow.policy import Kind, words
from bridgeflow.spec import ArraySpec
from tests.bridge import answers
from tests.bridge.cells import CASES, CELLS, Case, Cell


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_cell(cell: Cell):
    """Every question to every outcome of the cell; all failures are listed, with the traceback of the first."""
    failures: list[tuple[str, Exception]] = []
    for case in cell.cases():
        for question in REFUSALS if case.outcome.action == "refuse" else QUESTIONS:
            try:
                question(case)
            except Exception as error:
                failures.append((f"{case.id}, {question.__name__}: {type(error).__name__}: {error}", error))
    if failures:
        raise AssertionError("\n".join(message for message, _ in failures)) from failures[0][1]


# --- the three questions ----------------------------------------------------------------------------------------------


def are_the_values_right(case: Case) -> None:
    x = case.make()
    expected = case.values(x)
    result = case.convert(x)
    if expected is not None:
        assert (isinstance(result, list) and not result) or answers.dtype(result) == case.dtype(x)
        actual = answers.values(result)
        assert answers.same(actual, expected), f"{actual} is not {expected}"


def is_it_a_view_exactly_when_the_table_says_so(case: Case) -> None:
    plan = plan_of(case)
    assert (plan.action, plan.reason) == (case.outcome.action, case.outcome.reason)
    x = case.make()
    result = case.convert(x)
    if not case.cell.once:
        assert answers.inside(result, x) if plan.action == "view" else answers.apart(result, x)


def does_never_share_or_say_why_not(case: Case) -> None:
    x = case.make()
    if case.outcome.action == "view":
        result = case.convert(x, copy="never")
        assert case.cell.once or answers.inside(result, x)
        return
    reason = case.outcome.reason
    with pytest.raises(CopyRefused) as refusal:
        case.convert(x, copy=False)
    assert refusal.value.reason == reason
    assert re.fullmatch(rf'\$: copy="never", but .+ \[{reason}\]; .+', str(refusal.value))
    with pytest.raises(CopyRefused, match=re.escape(f"[{reason}]")):
        plan_of(case, copy="never")


# --- and more ---------------------------------------------------------------------------------------------------------


def does_always_give_memory_of_its_own(case: Case) -> None:
    x = case.make()
    expected = case.values(x)
    if expected is not None:
        result = case.convert(x, copy="always")
        assert answers.apart(result, x)
        assert answers.same(answers.values(result), expected)


def does_the_deed_keep_the_promise(case: Case) -> None:
    plan = plan_of(case)
    result = main_of(case.convert(case.make()))
    if isinstance(result, list):
        assert (plan.target.layout, plan.target.shape[0]) == ("rows", len(result))
        return
    done = describe(result)
    assert plan.target.admits(done), f"{plan.target} does not admit {done}"
    if case.outcome.target == "numpy":
        assert plan.target.writable == done.writable
    if plan.action == "view":
        assert plan.nbytes == 0
    elif len([step for step in plan.steps if step.rule.action == "copy"]) == 1 and plan.nbytes is not None:
        assert plan.nbytes == done.nbytes


def do_fast_path_and_table_agree(case: Case) -> None:
    """An open trace turns the fast paths off."""
    x = case.make()
    fast = case.convert(x)
    with trace() as record:
        slow = case.convert(case.make() if case.cell.once else x)
    if not case.cell.once:
        assert facts(main_of(fast), case) == facts(main_of(slow), case)
    if fast is x:
        assert not record.exchanges
    else:
        exchange = record.exchanges[0]  # of the mask, where there is one, comes another
        assert (exchange.action, exchange.reason) == (case.outcome.action, case.outcome.reason)
        assert (exchange.nbytes == 0) == (case.outcome.action == "view" or size_of(slow) == 0)


def is_it_refused_by_name(case: Case) -> None:
    for copy in ("auto", "always") if case.outcome.late else ("auto", "never", "always"):
        with pytest.raises(NoRoute) as refusal:
            case.convert(case.make(), copy=copy)
        assert refusal.value.reason == case.outcome.reason
        assert re.fullmatch(rf"\$: .+ \[{case.outcome.reason}\]; .+", str(refusal.value))


QUESTIONS = (
    are_the_values_right,
    is_it_a_view_exactly_when_the_table_says_so,
    does_never_share_or_say_why_not,
    does_always_give_memory_of_its_own,
    does_the_deed_keep_the_promise,
    do_fast_path_and_table_agree,
)
REFUSALS = (is_it_refused_by_name,)


def plan_of(case: Case, **options: Any) -> Route:
    return route(describe(case.make()), case.outcome.target, **{**case.options, **options})


def main_of(result: Any) -> Any:
    """The array in a result that is more than one."""
    return result[0] if isinstance(result, (Masked, Padded)) else result


def size_of(result: Any) -> int | None:
    """Bytes of the values of a result."""
    result = main_of(result)
    return sum(row.nbytes for row in result) if isinstance(result, list) else describe(result).nbytes


def facts(x: Any, case: Case) -> Any:
    """What must be alike in two results: type, description, and for a view the address."""
    if isinstance(x, list):
        return [facts(row, case) for row in x]
    return type(x), describe(x), answers.payload(x) if case.outcome.action == "view" else None


# --- the cells cover the table, and the libraries ---------------------------------------------------------------------


def rules_met(case: Case) -> Iterator[Rule]:
    """The rules that apply to a case, up to one that refuses."""
    try:
        spec = describe(case.make())
    except NoRoute:  # the array itself is damaged
        return
    options = options_of(case.outcome.target, case.options)
    yield from walk(spec, case.outcome.target, options)


def walk(spec: ArraySpec, target: Any, options: Any) -> Iterator[Rule]:
    spec = received(spec)
    if has_rows(spec, target, options):
        yield from (rule for rule in GATHER if rule.when(spec, options))
        try:
            yield from (step.rule for step in rows_route(spec, spec, target, rules(spec.kind, target), options).steps)
        except NoRoute as refusal:
            yield from (rule for rule in ROWS if rule.action == "refuse" and refusal.detail.endswith(rule.says[-20:]))
        return
    for rule in rules(spec.kind, target):
        if rule.when(spec, options):
            yield rule
            if rule.action == "refuse":
                return
            spec = rule.then(spec, options)


ALWAYS = {"copy": "always"}
TARGETS = ("numpy", "torch")
KINDS: tuple[Kind, ...] = ("numpy", "torch", "array_like")
ELSEWHERE: list[tuple[ArraySpec, Any, dict[str, Any]]] = [
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), device="cuda:0", nbytes=12), "numpy", {}),
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), flags=frozenset({"functional"})), "numpy", {}),
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), nbytes=12), "torch", {"device": "meta"}),
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), nbytes=12), "torch", {"copy": "always"}),
    (ArraySpec(kind="numpy", dtype="float32", shape=(3,), nbytes=12), "numpy", {"copy": "always"}),
    (ArraySpec(kind="numpy", dtype="float32", shape=(3,), nbytes=12), "arrow", {"copy": "always"}),
    (ArraySpec(kind="arrow", dtype="float32", shape=(3,), nbytes=12), "arrow", {"copy": "always"}),
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), device="meta"), "torch", {"device": "cpu"}),
    (ArraySpec(kind="torch", dtype="float32", shape=(3,), layout="mkldnn"), "torch", {"device": "meta"}),
    *(
        (ArraySpec(kind="torch", dtype="complex64", shape=(3,), flags=frozenset({flag, "conj"})), target, ALWAYS)
        for flag in ("unaligned", "empty-storage")
        for target in TARGETS
    ),
    (ArraySpec(kind="numpy", dtype="float32", shape=(3, 3), flags=frozenset({"beyond"})), "numpy", ALWAYS),
    *((ArraySpec(kind=kind, dtype="float32", shape=(1, 2**31)), "arrow", {"layout": "HWC"}) for kind in KINDS),
]
"""What takes another device, a function transform or copy="always": tested with those, below and in test_perils.py."""


def test_every_rule_of_the_table_is_met():
    met = {id(rule) for case in CASES for rule in rules_met(case)}
    met |= {id(rule) for spec, target, options in ELSEWHERE for rule in walk(spec, target, options_of(target, options))}
    everything = [(pair, rule) for pair, some in table().items() for rule in some]
    everything += [("rows", rule) for rule in (*GATHER, *ROWS)]
    assert sorted({f"{pair}: {rule.name}" for pair, rule in everything if id(rule) not in met}) == []


@pytest.mark.parametrize("pair", [*table(), "rows"], ids=str)
def test_every_copy_and_refusal_has_a_reason_of_the_list(pair: Any):
    for rule in (*GATHER, *ROWS) if pair == "rows" else table()[pair]:
        assert rule.reason in ((None,) if rule.action == "view" else words(Reason)), rule.name


def test_every_dtype_of_torch_has_a_cell():
    dtypes = {str(kind) for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
    met = {f"torch.{describe(case.make()).dtype}" for case in CASES if case.cell.name.startswith("torch-")}
    assert dtypes - met == set()


def test_every_type_of_arrow_has_a_cell():
    names = {name for name in vars(pa.lib) if name.startswith("Type_")} - {
        "Type_INTERVAL_MONTHS",
        "Type_INTERVAL_DAY_TIME",
    }
    arrays = [case.make() for case in CASES if case.cell.name.startswith("arrow-")]
    met = {x.type.id for x in arrays}
    assert {name for name in names if getattr(pa.lib, name) not in met} == set()


def test_every_kind_of_numpy_dtype_has_a_cell():
    met = {np.asarray(case.make()).dtype.char for case in CASES if case.cell.name.startswith("numpy-")}
    assert set(np.typecodes["All"]) - met <= set("pPnNc")  # intp by other names; a byte


def test_cells_have_names_of_their_own():
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names))
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))
