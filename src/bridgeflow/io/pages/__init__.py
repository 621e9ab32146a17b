"""Pages of Parquet files, decoded by compiled code where they are regular."""
