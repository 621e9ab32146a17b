"""Memory does not grow with the recording: the ECG, tiled to hours, in processes that tell their peak."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest

from bridgeflow.io import open_sink, open_source
from tests.faults.jobs import ENVIRONMENT, ROOT

JOB = """\
version: 1
source: {FORMAT: in.FORMAT, columns: [ecg], fs: 360}
transforms:
  - Scale: {scale: 0.005, offset: -5.12}
  - SignalFilter: {design: butter, btype: bandpass, cutoff: [0.5, 40], order: 2}
  - Resample: {from_hz: 360, to_hz: 250}
  - Window: {length: 2500}
sink: {arrow: OUT}
"""

MEASURED = """
    import sys
    from bridgeflow import cli
    import bridgeflow.pipeline.job as job
    job.CHUNK_NBYTES = int(sys.argv[1])
    sys.argv = ["bridgeflow", "run", "job.yaml", "--json"]
    try:
        cli.main()
    except SystemExit as exit:
        assert not exit.code, exit.code
    # Not getrusage(): its ru_maxrss begins with the peak of the process that started this one.
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak, file=sys.stderr)
"""


def peak(folder, format, times, chunk, sink):
    """The peak memory in MiB of a run on the ECG tiled `times` times, and what the run said."""
    folder.mkdir()
    ecg = pq.read_table(ROOT / "examples" / "data" / "mitdb208_mlii.parquet")["ecg"].to_numpy()
    with open_sink(folder / f"in.{format}") as writer:
        for _ in range(times):
            writer.write({"ecg": ecg})
    (folder / "job.yaml").write_text(JOB.replace("FORMAT", format).replace("OUT", sink))
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), str(chunk)]
    run = subprocess.run(command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return int(run.stderr.split()[-1]) / 1024, json.loads(run.stdout)


def flat(tmp_path, format, times, chunk, sink):
    short, _ = peak(tmp_path / "short", format, times, chunk, sink)
    long, said = peak(tmp_path / "long", format, 8 * times, chunk, sink)
    hours = 8 * times * 5 / 60
    data = 8 * times * 108_000 * 4 / 2**20
    peaks = f"{short:.0f} MiB for {hours / 8:.0f} h, {long:.0f} MiB for {hours:.0f} h"
    print(f"\n{format} to {sink}: {peaks} ({data:.0f} MiB of float32)")
    assert long - short < data / 4  # whatever grew with the recording would be at least one copy of it
    assert long - short < 48
    return said


@pytest.mark.parametrize("sink", ["out.arrow", "out/"])
def test_peak_memory_is_flat(tmp_path, sink):
    said = flat(tmp_path, "arrow", 60, 4 << 20, sink)
    assert said["rows"] == 480 * 108_000


@pytest.mark.slow
@pytest.mark.parametrize("format", ["arrow", "parquet", "npy"])
def test_peak_memory_is_flat_over_days(tmp_path, format):
    flat(tmp_path, format, 240, 8 << 20, "out.arrow")
    with open_source(tmp_path / "long" / "out.arrow") as source:
        assert source.rows == (1920 * 108_000 * 25 // 36) // 2500
        first = source.slice(0, 100)["ecg"]
        later = source.slice(100_000 // 2500 * 30, 100_000 // 2500 * 30 + 1)["ecg"]
    assert np.isfinite(first).all()
    assert np.isfinite(later).all()
