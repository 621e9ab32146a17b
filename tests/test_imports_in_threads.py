"""Threads that import parts of bridgeflow at once: none waits for ever, none finds half a module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

import bridgeflow
from tests.workplace import ROOT

SRC = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SRC / "bridgeflow").rglob("*.py"))
}
LIBRARY = [name for name in MODULES if not name.startswith(("bridgeflow.__main__", "bridgeflow.cli"))]
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"} - {"bridgeflow"}

PROGRAM = """
import os, random, sys, threading
from importlib import import_module
import bridgeflow

names, seed = sys.argv[2:], int(sys.argv[1])
chosen = random.Random(seed).sample(names, 16)
sys.setswitchinterval(1e-5)
together, failures = threading.Barrier(16), []

def go(name):
    together.wait()
    try:
        getattr(bridgeflow, name) if name in bridgeflow.__all__ else import_module(name)
    except BaseException as error:
        failures.append(f"{name}: {error!r}")

threads = [threading.Thread(target=go, args=(name,), daemon=True) for name in chosen]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(120)
    if thread.is_alive():
        failures.append("a thread waits for ever")
print(*failures, sep="\\n", end="", flush=True)
os._exit(0)
"""


def at_once(names: list[str], seed: int) -> str:
    run = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(seed), *names]
    return subprocess.run(run, capture_output=True, text=True, timeout=300, check=True).stdout


def test_sixteen_threads_ask_for_public_names():
    assert at_once(bridgeflow.__all__, 0) == ""


@pytest.mark.parametrize("seed", range(2))
def test_sixteen_threads_import_modules(seed: int):
    assert at_once(LIBRARY, seed) == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 20))
def test_sixteen_threads_import_modules_many_times(seed: int):
    assert at_once(LIBRARY, seed) == ""


def statements(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from statements(node.orelse)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.ClassDef)):
            for part in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, part, []))


def stub(package: str) -> dict[str, str]:
    """The names in a package's stub, each with where it comes from: a module, or a package with a stub of its own."""
    names, path = {}, MODULES[package].with_suffix(".pyi")
    for node in statements(ast.parse(path.read_text(encoding="utf-8")).body) if path.exists() else ():
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.name] = f"{package}.{node.module or alias.name}"
    return names


STUBS = {package: stub(package) for package in sorted(PACKAGES | {"bridgeflow"})}


def home(module: str, name: str) -> str:
    """The module that runs for `from module import name`."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    if module not in STUBS:
        return module
    if name not in STUBS[module]:  # what is compiled imports nothing of ours, SciPy's names pass through
        return f"{module}.{name}"
    return home(STUBS[module][name], name)


def needs(name: str) -> set[str]:
    """The modules that a module imports anywhere: at its top, within functions, or for its types alone."""
    modules = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            modules.update(home(node.module, alias.name) for alias in node.names)
    return modules & MODULES.keys()


def test_no_module_needs_what_needs_it():
    """Two threads that begin at different ends of a circle would wait for each other, and no part of one can be read
    without the others.
    """
    graph, done = {name: needs(name) for name in MODULES}, set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("package", STUBS)
def test_a_package_imports_none_of_its_modules(package: str):
    """A thread that imports a module waits for its package, which must not wait."""
    code = f"import {package}, sys; print(*(name for name in sys.modules if name.startswith('bridgeflow')))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    parts = package.split(".")
    assert set(done.stdout.split()) == {".".join(parts[: i + 1]) for i in range(len(parts))}


@pytest.mark.parametrize("package", [package for package, names in STUBS.items() if names])
def test_a_package_has_the_names_of_its_stub(package: str):
    tree = ast.parse(MODULES[package].with_suffix(".pyi").read_text(encoding="utf-8"))
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.dump(node.targets[0]) == ast.dump(ast.Name("__all__", ast.Store()))
    )
    module = import_module(package)
    assert sorted(listed) == sorted(STUBS[package]) == module.__all__
    for name in listed:
        whole = import_module(f"{package}.{name}") if f"{package}.{name}" in MODULES else None
        assert getattr(module, name) is (whole or getattr(import_module(home(package, name)), name))


def test_no_name_of_a_package_is_a_module_of_it_too():
    """Importing the module of that name would put it in the place of the name."""
    for package, names in STUBS.items():
        for name, where in names.items():
            assert where == f"{package}.{name}" or f"{package}.{name}" not in MODULES, f"{package}.{name} is two things"


def test_transforms_are_registered_in_whatever_order_they_are_imported():
    code = "from bridgeflow.transforms import registry; print(len(registry.names()), registry.lookup('Scale').__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, name = done.stdout.split()
    assert int(count) >= len(bridgeflow.transforms.__all__) - 7
    assert name == "Scale"


def test_a_plugin_cannot_take_a_name_of_ours():
    code = """
from bridgeflow.transforms import LeafTransform, register
try:
    @register
    class Scale(LeafTransform): ...
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "is taken by bridgeflow.transforms.scale.Scale" in done.stdout


def test_a_module_that_fails_is_tried_again():
    code = """
import sys
sys.modules["yaml"] = None
import bridgeflow.config
try:
    bridgeflow.config.load_job
except ImportError:
    del sys.modules["yaml"]
    print(bridgeflow.config.load_job.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "load_job\n"
