"""What runs where systems lack Linux's shared memory (macOS), /proc or POSIX (Windows): all that needs none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bridgeflow.io import files
from bridgeflow.io.files import descriptor_path, open_regular
from tests.workplace import ROOT

MAC = """
import fcntl, os, signal, socket, sys
LACKING = {
    os: ("memfd_create", "pidfd_open", "sched_getaffinity", "MFD_CLOEXEC", "MFD_ALLOW_SEALING", "eventfd",
         "EFD_CLOEXEC", "eventfd_write", "eventfd_read", "posix_fallocate", "posix_fadvise", "splice"),
    fcntl: ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL", "F_SEAL_WRITE", "F_ADD_SEALS", "F_GET_SEALS"),
    signal: ("pidfd_send_signal",),
    socket: ("SO_PEERCRED", "MSG_CMSG_CLOEXEC"),
}
for module, names in LACKING.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""

WINDOWS = """
import ctypes, mmap, os, select, signal, socket, sys
# Others have ways of their own for Windows:
import multiprocessing.reduction, pydantic, scipy.signal, torch.utils.data, click, yaml
import pyarrow.parquet
LACKING = {
    os: ("fork", "register_at_fork", "memfd_create", "pidfd_open", "sched_getaffinity", "eventfd", "posix_fallocate",
         "posix_fadvise", "pread", "preadv", "pwrite", "getuid", "geteuid", "sysconf", "O_CLOEXEC", "O_DIRECTORY",
         "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY"),
    signal: ("pidfd_send_signal", "SIGKILL", "SIGHUP", "SIGALRM", "pthread_sigmask"),
    socket: ("SO_PEERCRED", "MSG_CMSG_CLOEXEC", "AF_UNIX", "send_fds", "recv_fds"),
    mmap: ("PROT_READ", "PROT_WRITE", "MAP_SHARED", "MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_NORESERVE", "MADV_DONTNEED"),
    select: ("poll", "epoll", "POLLIN"),
}
for module, names in LACKING.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
class OfNamedLibraries(ctypes.CDLL):
    def __init__(self, name, *rest, **options):
        if name is None:
            raise TypeError("Windows has no library of the process itself")
        super().__init__(name, *rest, **options)
ctypes.CDLL = OfNamedLibraries
"""

DATA = """
import numpy as np
import bridgeflow as bf
from bridgeflow import io
x = np.random.default_rng(0).standard_normal((6, 2, 100))
low = bf.SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=2)
only_x = bf.SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=2, keys="x")
examples = {"x": x, "label": np.arange(6)}
"""

WORKS = """
def filters():
    import scipy.signal
    sos = scipy.signal.butter(2, 20.0, fs=100.0, output="sos")
    assert np.allclose(low(x), scipy.signal.sosfilt(sos, x))
    assert np.allclose(low(bf.to_tensor(x)), scipy.signal.sosfilt(sos, x))

def conversions():
    assert np.array_equal(bf.to_numpy(bf.to_arrow(bf.to_tensor(x))), x)

def buffers_within_one_process():
    assert np.array_equal(bf.share(x).numpy, x)
    bf.memory.empty(5)
    bf.memory.trim()

def datasets():
    assert bf.SignalDataset(examples, only_x).batch([2, 1])["label"].tolist() == [2, 1]
    assert bf.SignalDataset(examples, only_x)[3]["label"] == 3

def loaders():
    for threads in (0, 2):
        loader = bf.Loader(bf.SignalDataset(examples, only_x), 2, threads=threads, shuffle=True)
        assert sorted(row for batch in loader for row in batch["label"].tolist()) == list(range(6))

def loaders_of_torch():
    from torch.utils.data import DataLoader
    dataset = bf.SignalDataset(examples, only_x)
    for options in ({}, *WORKERS):
        assert len(list(DataLoader(dataset, 2, collate_fn=bf.collate, **options))) == 3

def files():
    for suffix in ("arrow", "parquet", "npz"):
        with io.open_sink(f"all.{suffix}") as sink:
            sink.write(examples)
        assert np.allclose(bf.SignalDataset(f"all.{suffix}")[1]["x"], x[1])

def the_command_line():
    from bridgeflow.cli import main
    np.savez("in.npz", x=x)
    lines = ["version: 1", "source: {npz: in.npz}", "sink: {npz: out.npz}",
             "transforms: [{Scale: {scale: 2.0, keys: [x]}}]"]
    open("job.yaml", "w").write("\\n".join(lines))
    for words in (["run", "job.yaml"], ["doctor"]):
        sys.argv = ["bridgeflow", *words]
        try:
            main()
        except SystemExit as end:
            assert end.code in ({0, 3, None} if words == ["doctor"] else {0, None}), end.code  # 3: a finding
    assert np.allclose(np.load("out.npz")["x"], 2 * x)

for work in WORK:
    try:
        work()
    except Exception as error:
        print(f"FAILED {work.__name__}: {type(error).__name__}: {error}")
"""

REFUSED = """
from bridgeflow.errors import UnsupportedSystem
for name, call in {
    "Loader: num_workers=1": lambda: bf.Loader(bf.SignalDataset(examples), 2, num_workers=1),
    "WorkerPool": lambda: bf.WorkerPool(abs, num_workers=1, slot_nbytes=100),
    "Segment": lambda: bf.memory.Segment(100),
    "Segment ": lambda: bf.memory.Ring(2, 100),
    'share(across="process")': lambda: bf.share(x, across="process"),
    'share(across="process") ': lambda: bf.SharedView(across="process")(x),
}.items():
    try:
        call()
        print(f"FAILED {name}: no error")
    except UnsupportedSystem as error:
        assert isinstance(error, NotImplementedError)
        for part in (name.strip(), "needs memory that processes share", "os.memfd_create", "; "):
            if part not in str(error):
                print(f"FAILED {name}: no {part!r} in {error}")
"""


FILES_REFUSED = """
for call in (lambda: io.open_sink("a.npz").__enter__(), lambda: bf.SignalDataset("here.npy"),
             lambda: bf.load_pipeline("here.yaml")):
    try:
        call()
        print("FAILED: no error")
    except UnsupportedSystem as error:
        for part in ("needs files as POSIX has them", "os.O_NOFOLLOW", "pass the arrays"):
            if part not in str(error):
                print(f"FAILED: no {part!r} in {error}")
"""

FORK = '{"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "fork"}'
INSIDE = "filters, conversions, buffers_within_one_process, datasets, loaders, loaders_of_torch"
CODES = {
    "works on macOS": f"{MAC}{DATA}WORKERS = [{FORK}]{WORKS.replace('WORK:', f'({INSIDE}, files, the_command_line):')}",
    "is refused by name on macOS": MAC + DATA + REFUSED,
    "works on Windows": f"{WINDOWS}{DATA}WORKERS = []{WORKS.replace('WORK:', f'({INSIDE}):')}",
    "is refused by name on Windows": WINDOWS + DATA + REFUSED + FILES_REFUSED,
}


@pytest.mark.parametrize("what", CODES)
def test_without_what_only_linux_has(what: str, tmp_path: Path):
    np.save(tmp_path / "here.npy", np.ones((2, 3)))
    (tmp_path / "here.yaml").write_text("version: 1", encoding="utf-8")
    run = [sys.executable, "-W", "error::RuntimeWarning", "-c", CODES[what]]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "FAILED" not in done.stdout, done.stdout


def test_without_proc_the_path_of_a_descriptor_is_found_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_DESCRIPTORS", str(tmp_path / "no-proc"))
    inside, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.bin").write_bytes(b"abc")
    descriptor = open_regular(inside / "a.bin", roots=(inside,))
    with open(descriptor_path(descriptor), "rb") as again:
        assert again.read() == b"abc"
    with pytest.raises(files.DataError, match="outside"):
        open_regular(outside / "a.bin", roots=(inside,))


def test_what_only_linux_has_is_asked_for_where_it_may_be_missing():
    """`len(os.sched_getaffinity(0))` and the like stand in one place each, which asks first."""
    guarded = {
        "register_at_fork": {"_forks.py"},
        "sched_getaffinity": {"_threads.py"},
        "memfd_create": {"segment.py"},
        "/proc/self/fd": {"files.py"},
    }
    for name, places in guarded.items():
        asking = {path.name for path in (ROOT / "src").rglob("*.py") if name in path.read_text(encoding="utf-8")}
        assert asking <= places, name
