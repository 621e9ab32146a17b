"""Engines: what runs a job. `local` and `shards` run it in this process, `ray` on a cluster."""
