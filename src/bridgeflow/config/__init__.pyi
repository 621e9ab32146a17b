from .load import load_job as load_job
from .load import parse_job as parse_job
from .schema import config_schema as config_schema

__all__ = [
    "config_schema",
    "load_job",
    "parse_job",
]
