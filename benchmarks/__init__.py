"""Latency of every stage, and accuracy on CIFAR-100: what docs/results.md and the README quote."""
