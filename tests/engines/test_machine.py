"""`bridgeflow doctor`: each thing that hurts is found, with its remedy."""

import resource
import shutil
from collections import namedtuple
from importlib import metadata

import torch

from bridgeflow.engines.machine import examine


def found(what):
    return next(finding for finding in examine() if finding.what == what)


def test_few_open_files(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    assert (found("open files").verdict, found("open files").remedy[-14:]) == ("bad", "ulimit -n 4096")


def test_small_or_missing_shared_memory(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 20, 0, 1 << 20))
    assert found("/dev/shm").verdict == "bad"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    assert found("/dev/shm").verdict == "note"


def test_missing_packages(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert (found("scipy").verdict, found("scipy").remedy) == ("bad", "pip install scipy")
    assert (found("matplotlib").verdict, found("bridgeflow").verdict) == ("note", "note")


def test_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert found("cores").verdict == "note"
