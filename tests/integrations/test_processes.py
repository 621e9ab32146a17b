"""Two real processes of a gloo group: each sees rows that the other does not, and together they see the epoch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.workplace import ROOT

ROWS = 24

RANK = """
import sys
import numpy as np, torch
from torch import distributed
from bridgeflow import Gain, Loader, SignalDataset, collate

way, rank, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rows = {"x": np.ones((24, 4), "float32"), "row": np.arange(24)}
dataset = SignalDataset(rows, Gain(db=(-6.0, 6.0), keys="x"), seed=1)
if way == "accelerate":
    import accelerate
    process = accelerate.Accelerator(cpu=True)
    assert (process.process_index, process.num_processes) == (rank, 2)
    loader = process.prepare(Loader(dataset, 5, shuffle=True, seed=1, rank=rank, world_size=2))
elif way == "prepared":
    import accelerate
    process = accelerate.Accelerator(cpu=True)
    sampler = Loader(dataset, 4, shuffle=True, seed=1).batch_sampler
    loader = process.prepare(torch.utils.data.DataLoader(dataset, batch_sampler=sampler, collate_fn=collate))
else:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    loader = Loader(dataset, 5, shuffle=True, seed=1, rank=distributed.get_rank(), world_size=2)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
seen, gains = [], []
for batch in loader:  # the collective calls of the two match: both have as many batches
    seen += batch["row"].tolist()
    gains += batch["x"][:, 0].tolist()
    model(batch["x"]).sum().backward()
np.savez(f"{folder}/rank{rank}.npz", rows=seen, gains=gains, gradient=model.module.weight.grad.numpy())
distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "accelerate", "prepared"])
def test_ranks_see_disjoint_rows_and_together_the_epoch(way: str, tmp_path: Path):
    if way != "plain":
        pytest.importorskip("accelerate")
    script = tmp_path / "torchvision_rank.py"  # whose name has the test kit make torchvision importable
    script.write_text("# torchvision\n" + RANK, encoding="utf-8")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29_000 + os.getpid() % 4000), "WORLD_SIZE": "2"}
    processes = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **shared, **own, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true"}
        command = [sys.executable, "-m", "tests.run_script", str(script), way, str(rank), str(tmp_path)]
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    ranks = [np.load(tmp_path / f"rank{rank}.npz") for rank in range(2)]
    rows = [set(one["rows"].tolist()) for one in ranks]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == set(range(ROWS))
    assert np.array_equal(ranks[0]["gradient"], ranks[1]["gradient"])
    if way == "plain":  # what is drawn belongs to the row, whichever rank it comes to
        from bridgeflow import Gain, SignalDataset

        whole = SignalDataset(
            {"x": np.ones((ROWS, 4), "float32"), "row": np.arange(ROWS)}, Gain(db=(-6.0, 6.0), keys="x")
        )
        for one in ranks:
            expected = whole.batch(one["rows"], seed=1, epoch=0)["x"][:, 0]
            assert np.array_equal(expected.numpy(), one["gains"].astype("float32"))
