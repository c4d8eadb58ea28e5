"""Benchmarks behind `make bench`; each compares what it measures with a baseline of the same run."""
