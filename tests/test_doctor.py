"""`bridgeflow doctor`: each thing that hurts is found, with its remedy."""

import json
import resource
import shutil
import sys
from collections import namedtuple
from importlib import metadata

import pytest
import torch

from bridgeflow import doctor
from bridgeflow.doctor import examine
from bridgeflow.signal.iir import native


def finding_on(what):
    return next(finding for finding in examine() if finding.what == what)


def test_few_open_files(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert (finding_on("open files").verdict, finding_on("open files").remedy[-14:]) == ("bad", "ulimit -n 4096")


def test_small_or_missing_shared_memory(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 20, 0, 1 << 20))
    assert finding_on("/dev/shm").verdict == "bad"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    assert finding_on("/dev/shm").verdict == "note"


def test_missing_packages(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(doctor, "_why_not_imported", lambda module, path: "ModuleNotFoundError: No module")
    assert (finding_on("scipy").verdict, finding_on("scipy").remedy) == ("bad", "pip install scipy")
    assert (finding_on("matplotlib").verdict, finding_on("bridgeflow").verdict) == ("note", "note")


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
    monkeypatch.setattr(doctor, "_REQUIRED", {"torch": "json", "PyYAML": "yaml", "torchvision": "torchvision"})
    monkeypatch.setattr(doctor, "_OPTIONAL", {"matplotlib": ("matplotlib", "pictures")})
    monkeypatch.setattr(doctor, "_native", lambda path: doctor.Finding("native engine", "built"))
    finding = finding_on(name)
    assert (finding.verdict, said in finding.value) == ("bad", True), finding
    assert finding.remedy.startswith(f"pip install --force-reinstall {name}")


def test_an_import_that_hangs_is_found_out(monkeypatch, tmp_path):
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(doctor, "_LONGEST_IMPORT", 0.5)
    path = json.dumps([str(tmp_path), *sys.path])
    assert doctor._why_not_imported("slow", path) == "its import has not ended after 0 s"


def test_the_native_engine_is_there_or_its_absence_has_a_reason():
    finding = finding_on("native engine")
    assert finding.value.startswith("built, runs with " if native.is_built() else "missing: ")
    assert native.is_built() or finding.remedy


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert finding_on("cores").verdict == "note"


def test_a_version_older_than_the_tested_ones(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["scipy>=99.1", "numpy>=2.0", "ml_dtypes>=99; extra == 'x'"])
    assert (doctor._package("scipy", None).verdict, doctor._package("scipy", None).remedy) == (
        "bad",
        "pip install 'scipy>=99.1'",
    )
    assert doctor._package("numpy", None).verdict == "ok"
    assert doctor._release("2.13.0+cu130") == doctor._release("2.13") < doctor._release("2.13.1")


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
