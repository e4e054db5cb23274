"""Benchmarks as config fragments, and suites of them."""
