"""A package counts as loaded once its import has ended, whichever thread imports it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from bridgeflow._optional import being_imported, loaded
from bridgeflow.bridge.kinds import kind_of
from tests.workplace import ROOT

SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
ASKED = sorted({name for text in SOURCES.values() for name in re.findall(r'\bloaded\("([\w.]+)"\)', text)})

SLOW = """
import threading
started, go_on = threading.Event(), threading.Event()
first = 1
started.set()
go_on.wait(30)
last = 2
"""


def test_a_package_is_loaded_when_its_import_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "slow_to_import").mkdir()
    (tmp_path / "slow_to_import" / "__init__.py").write_text("from slow_to_import import part\n" + SLOW)
    (tmp_path / "slow_to_import" / "part.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert loaded("slow_to_import") is None
    thread = threading.Thread(target=import_module, args=("slow_to_import",))
    thread.start()
    while not hasattr(module := sys.modules.get("slow_to_import"), "started"):
        pass
    assert module is not None
    assert module.started.wait(30)
    assert (loaded("slow_to_import"), being_imported("slow_to_import")) == (None, True)
    assert loaded("slow_to_import.part") is None, "a part is complete before the package is"
    module.go_on.set()
    thread.join()
    assert (loaded("slow_to_import"), being_imported("slow_to_import")) == (module, False)
    assert loaded("slow_to_import.part") is module.part
    monkeypatch.delitem(sys.modules, "slow_to_import")
    assert loaded("slow_to_import") is None


@pytest.mark.parametrize("name", ASKED)
def test_whatever_is_asked_for_may_be_in_the_midst_of_its_import(name: str, monkeypatch: pytest.MonkeyPatch):
    half = ModuleType(name)
    half.__spec__ = spec = ModuleSpec(name, None)
    spec._initializing = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, half)
    assert loaded(name) is None

    class Ours:
        """A class that no one has asked about before."""

    assert kind_of(Ours()) is None


def test_a_class_seen_during_an_import_is_looked_at_again(monkeypatch: pytest.MonkeyPatch):
    import torch

    class Late(torch.Tensor):
        """A tensor that turns up while torch is not complete."""

    spec = torch.__spec__
    monkeypatch.setattr(spec, "_initializing", True, raising=False)
    monkeypatch.setattr("bridgeflow._optional._COMPLETE", {})
    assert kind_of(torch.zeros(2).as_subclass(Late)) != "torch"
    monkeypatch.setattr(spec, "_initializing", False, raising=False)
    assert kind_of(torch.zeros(2).as_subclass(Late)) == "torch"


def test_nothing_else_asks_the_table_of_modules():
    asking = {path.name for path, text in SOURCES.items() if "sys.modules" in text}
    assert asking <= {"_optional.py"}


WHILE_TORCH_IS_IMPORTED = """
import sys, time, threading
from importlib.abc import MetaPathFinder
import numpy as np, pyarrow as pa
import bridgeflow as bf

class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("torch.nn", "torch.fx", "torch._compile", "torch.autograd"):
            time.sleep(0.2)

sys.meta_path.insert(0, Slow())
x, table = np.zeros((4, 100)), pa.table({"v": np.zeros(5)})
low = bf.SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=2)
calls = [
    lambda: low(x),
    lambda: bf.to_numpy(pa.array([1.0, 2.0])),
    lambda: bf.to_arrow(x),
    lambda: bf.describe(x),
    lambda: bf.Compose([bf.Scale(scale=2.0), low])({"v": x}),
    lambda: bf.signal.welch(x, fs=100.0, nperseg=20),
    lambda: bf.signal.decimate(x, 2),
    lambda: bf.SignalDataset({"v": x}, low, kind="numpy").batch([0, 1]),
]
for call in calls[1:]:
    bf.signal  # what is ours is imported; torch is not
assert "torch" not in sys.modules
failures, ended = [], threading.Event()

def go(call):
    while True:
        last = ended.is_set()
        try:
            call()
        except Exception as error:
            failures.append(repr(error)[:300])
            return
        if last:
            return
        time.sleep(0.002)  # the import needs the interpreter too

threads = [threading.Thread(target=go, args=(call,)) for call in calls]
for thread in threads:
    thread.start()
time.sleep(0.1)
bf.to_tensor(x)
ended.set()
for thread in threads:
    thread.join()
print(*failures, sep="\\n", end="")
"""


def test_threads_go_on_while_another_one_imports_torch():
    run = [sys.executable, "-W", "ignore", "-c", WHILE_TORCH_IS_IMPORTED]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-2000:]
