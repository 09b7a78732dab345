"""Benchmarks: our work and a peer's on the same data in the same run, answers checked equal."""
