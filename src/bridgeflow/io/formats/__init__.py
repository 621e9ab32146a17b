"""One module for each file format, with its reader and writer, and beside it what checks its bytes."""
