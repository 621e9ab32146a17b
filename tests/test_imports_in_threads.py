"""Threads that import parts of bridgeflow at once: none waits for ever, none finds half a module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

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


def needs(name: str) -> set[str]:
    """The modules, and the packages' own files, that must have run before this one has."""
    found = set()
    for node in statements(ast.parse(MODULES[name].read_text(encoding="utf-8")).body):
        for alias in node.names if isinstance(node, ast.ImportFrom) and node.module in MODULES else ():
            whole = f"{node.module}.{alias.name}"
            if whole not in PACKAGES and not alias.name.startswith("_"):
                found.add(whole if whole in MODULES else str(node.module))
            elif whole in MODULES and whole not in PACKAGES:
                found.add(whole)
    return found - {"bridgeflow"}


def test_no_module_needs_what_needs_it():
    """Two threads that begin at different ends of a circle would wait for each other."""
    graph, done = {name: needs(name) for name in MODULES}, set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_name_of_a_package_is_a_module_of_it_too():
    """A name that is asked of a package whose file has not run is the module of that name, if there is one."""
    for package in sorted(PACKAGES - {"bridgeflow.cli"}):  # which does not wait
        module = __import__(package, fromlist=["*"])
        for name in getattr(module, "__all__", ()):
            assert f"{package}.{name}" not in MODULES, f"{package}.{name} is two things"


def test_transforms_are_registered_whoever_asks_first():
    code = "from bridgeflow.transforms import registry; print(len(registry.names()), registry.lookup('Scale').__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, name = done.stdout.split()
    assert int(count) >= len(bridgeflow.transforms.__all__) - 5
    assert name == "Scale"


def test_a_package_whose_file_fails_is_tried_again():
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
