"""Engines: what runs a job. `local` runs it in this process."""
