from .batches import Batch as Batch
from .batches import collate as collate
from .compose import Compose as Compose
from .dataset import SignalDataset as SignalDataset
from .loader import Loader as Loader
from .randomness import generators as generators
from .randomness import seeded as seeded
from .samplers import BatchSampler as BatchSampler
from .workers import WorkerPool as WorkerPool

__all__ = [
    "Batch",
    "BatchSampler",
    "Compose",
    "Loader",
    "SignalDataset",
    "WorkerPool",
    "collate",
    "generators",
    "seeded",
]
