"""Benchmark reports on one page, and compared with each other."""
