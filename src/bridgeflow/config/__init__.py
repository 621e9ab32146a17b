"""Configuration: YAML from anybody to a job, or an error that says where."""

from bridgeflow.config.load import load_job, parse_job
from bridgeflow.config.schema import config_schema

__all__ = ["config_schema", "load_job", "parse_job"]
