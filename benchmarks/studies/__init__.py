"""Questions that the paper leaves open, each with its answer in a JSON and a figure.

`python -m benchmarks.studies [NAME ...]` measures those named, or all; `benchmarks.accuracy` puts them on its page.
"""
