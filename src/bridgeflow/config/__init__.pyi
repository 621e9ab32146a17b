from .load import is_pipeline as is_pipeline
from .load import load_job as load_job
from .load import parse_job as parse_job
from .pipeline_file import load_pipeline as load_pipeline
from .pipeline_file import parse_pipeline as parse_pipeline
from .schema import config_schema as config_schema
from .schema import pipeline_schema as pipeline_schema
from .schema import transform_schema as transform_schema

__all__ = [
    "config_schema",
    "is_pipeline",
    "load_job",
    "load_pipeline",
    "parse_job",
    "parse_pipeline",
    "pipeline_schema",
    "transform_schema",
]
