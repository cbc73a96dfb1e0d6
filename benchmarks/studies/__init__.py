"""Studies: questions that the paper leaves open, each measured into a JSON report and a figure.

`python -m benchmarks.studies [NAME ...]` measures the studies named, or all; docs/results.md shows them.
"""
