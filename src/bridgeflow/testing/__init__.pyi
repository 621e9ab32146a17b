from .contracts import CLAUSES as CLAUSES
from .contracts import check_transform as check_transform

__all__ = [
    "CLAUSES",
    "check_transform",
]
