"""Benchmarks of the cell controller: `python -m benchmarks`."""
