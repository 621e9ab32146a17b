"""Train on several ranks with DistributedDataParallel: each reads and filters its own share of the windows.
python examples/train_ddp.py                         (starts two ranks on this machine)
torchrun --nnodes 4 --nproc-per-node 8 --rdzv-endpoint HOST:29500 examples/train_ddp.py     (on each of four machines)
"""

import os
import tempfile

import torch
from torch import distributed, multiprocessing, nn

import bridgeflow as bf

RECORDINGS = bf.Recordings(os.path.join(os.path.dirname(__file__), "data/recordings/eeg/*.edf"))
BAND = bf.SignalFilter(design="butter", btype="bandpass", cutoff=(4, 25), order=3, fs=64, mode="zero_phase")
CUT = [bf.EventWindow(event="*", start=0.0, stop=1.5), bf.EventLabels(classes=("left", "right"))]


def train(rank: int = -1, world_size: int = -1, rendezvous: str = "env://") -> None:
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world_size)
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    dataset = bf.SignalDataset(RECORDINGS, bf.Compose([BAND, *CUT, bf.Standardize(keys="signal")]))
    loader = bf.Loader(dataset, 8, sampler=bf.Balanced(by="label"), seed=1, rank=rank, world_size=world_size)
    layers = nn.Sequential(nn.Conv1d(4, 8, 17), nn.ReLU(), nn.Flatten(), nn.Linear(640, 2))
    model = nn.parallel.DistributedDataParallel(layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for batch in (batch for epoch in range(6) for batch in loader):  # each pass is the next epoch, on every rank
        loss = nn.functional.cross_entropy(model(batch["signal"].float()), batch["label"])
        optimizer.zero_grad()
        loss.backward()  # averages the gradients of all ranks
        optimizer.step()
    print(f"rank {rank} of {world_size}: {len(loader)} batches an epoch, loss {loss:.3f}", flush=True)
    distributed.destroy_process_group()


if "RANK" in os.environ:  # set by torchrun
    train()
elif __name__ == "__main__":
    multiprocessing.spawn(train, (2, f"file://{tempfile.mkdtemp()}/rendezvous"), nprocs=2)
