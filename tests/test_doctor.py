"""`bridgeflow doctor`: each thing that hurts is found, with its remedy."""

import json
import re
import resource
import shutil
import sys
from collections import namedtuple
from importlib import metadata

import pytest
import torch

from bridgeflow import doctor
from tests.workplace import ROOT

PINNED = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))


def test_few_open_files(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    finding = doctor._open_files()
    assert (finding.verdict, finding.remedy[-14:]) == ("bad", "ulimit -n 4096")


def test_small_or_missing_shared_memory(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 20, 0, 1 << 20))
    assert doctor._shared_memory().verdict == "bad"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    assert doctor._shared_memory().verdict == "note"


def test_missing_packages(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    failures = doctor._failures(["scipy.signal", "matplotlib.figure"], "[]")
    required, optional = (
        doctor._package("scipy", failures["scipy.signal"]),
        doctor._optional("matplotlib", failures["matplotlib.figure"], "pictures"),
    )
    assert (required.verdict, required.remedy) == ("bad", "pip install scipy")
    assert (optional.verdict, optional.remedy, doctor._ourselves().verdict) == ("note", "pictures", "note")


BROKEN = {
    "an error": ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
    "a crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its import ends the process (SIGSEGV)"),
    "an exit": ("raise SystemExit(7)", "exit code 7"),
    "a dependency that is missing": ("import nowhere", "No module named 'nowhere'"),
    "escapes": ("raise ImportError('\\x1b[31mred')", r"\x1b[31mred"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", ["torchvision", "matplotlib"])
def test_a_package_that_cannot_be_imported_is_found_out(monkeypatch, tmp_path, name, fault):
    code, said = BROKEN[fault]
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(code + "\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    failure = doctor._failures(["json", name], json.dumps(sys.path))[name]
    finding = doctor._package(name, failure) if name == "torchvision" else doctor._optional(name, failure, "pictures")
    assert (finding.verdict, said in finding.value) == ("bad", True), finding
    assert finding.remedy.startswith(f"pip install --force-reinstall {name}")


def test_an_import_that_hangs_is_found_out(monkeypatch, tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(doctor, "_LONGEST_IMPORT", 0.5)
    path = json.dumps([str(tmp_path), *sys.path])
    assert doctor._why_not_imported("slow", path) == "its import has not ended after 0 s"


def test_a_missing_engine_has_a_reason_and_a_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "_child", lambda *arguments: (0, "no compiler"))
    finding = doctor._native("[]")
    assert (finding.value, finding.verdict, "GCC or Clang" in finding.remedy) == ("missing: no compiler", "note", True)


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert doctor._cores().verdict == "note"


def test_a_version_older_than_the_tested_ones(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["scipy>=99.1", "numpy>=2.0", "ml_dtypes>=99; extra == 'x'"])
    assert (doctor._package("scipy", None).verdict, doctor._package("scipy", None).remedy) == (
        "bad",
        "pip install 'scipy>=99.1'",
    )
    assert doctor._package("numpy", None).verdict == "ok"
    assert doctor._release("2.13.0+cu130") == doctor._release("2.13") < doctor._release("2.13.1")


NEWER = {"too new": ("99.2.1", "note"), "a repair of the newest": ("{newest}.99", "ok"), "tested": ("{pinned}", "ok")}


@pytest.mark.parametrize("kind", NEWER)
@pytest.mark.parametrize("name", [name for name in doctor._NEWEST if name != "python"])
def test_a_version_newer_than_the_tested_ones(monkeypatch, name, kind):
    text, verdict = NEWER[kind]
    monkeypatch.setattr(metadata, "version", lambda _: text.format(newest=doctor._NEWEST[name], pinned=PINNED[name]))
    finding = doctor._package(name, None) if name in doctor._REQUIRED else doctor._optional(name, None, "")
    assert finding.verdict == verdict
    assert verdict == "ok" or finding.remedy == (
        f"where something fails, pip install '{name}=={doctor._NEWEST[name]}.*'"
    )


def test_a_python_newer_than_the_tested_ones(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.99.1")
    assert (doctor._python().verdict, doctor._NEWEST["python"] in doctor._python().remedy) == ("note", True)
    monkeypatch.setattr(doctor.platform, "python_version", lambda: f"{doctor._NEWEST['python']}.7")
    assert doctor._python().verdict == "ok"


def test_the_newest_tested_versions_are_those_of_the_constraints():
    for name, newest in doctor._NEWEST.items():
        if name != "python":
            assert doctor._series(PINNED[name]) == doctor._series(newest), name
    builds = re.search(r"^build = \[(.*)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    built = [int(minor) for minor in re.findall(r"cp3(\d+)-", builds[1])]
    assert doctor._series(doctor._NEWEST["python"]) == (3, max(built))
    assert set(doctor._NEWEST) == {"python", *doctor._REQUIRED, *doctor._OPTIONAL}


def test_what_is_not_fine_has_a_remedy():
    with pytest.raises(ValueError, match="needs a remedy"):
        doctor.Finding("cores", "none", "bad")


def test_what_is_not_installed_starts_no_process(monkeypatch):
    monkeypatch.setattr(doctor, "_child", lambda *arguments: pytest.fail("a process"))
    (failure,) = doctor._failures(["no_such_package.part"], "[]").values()
    assert failure.startswith("ModuleNotFoundError")


def test_little_memory(monkeypatch, tmp_path):
    limit = (1 << 30, resource.RLIM_INFINITY)
    monkeypatch.setattr(doctor, "_GROUP_LIMITS", ())
    monkeypatch.setattr(resource, "getrlimit", lambda which: limit)
    finding = doctor._memory_limit()
    assert (finding.value, finding.verdict, "ulimit -v" in finding.remedy) == ("address space 1.0 GiB", "note", True)
    limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert doctor._memory_limit() == doctor.Finding("memory limit", "none")
    (tmp_path / "memory.max").write_text(f"{512 << 20}\n")
    monkeypatch.setattr(doctor, "_GROUP_LIMITS", (str(tmp_path / "memory.max"),))
    assert "control group 0.5 GiB" in doctor._memory_limit().value
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor._memory_limit().value == "none"


def test_forked_processes_and_cuda(monkeypatch):
    monkeypatch.setattr(doctor.multiprocessing, "get_start_method", lambda allow_none: "fork")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (doctor._start_method().verdict, "forkserver" in doctor._start_method().remedy) == ("note", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor._start_method() == doctor.Finding("start method", "fork")
