"""Speed, measured: `make bench` prints a table and writes docs/benchmarks.md. Not part of the tests."""
