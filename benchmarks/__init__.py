"""Benchmarks: what a call, a job and a start cost on the host, in a peer and in runsc-py, measured in one run."""
