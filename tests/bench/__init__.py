"""The benchmark: what a decision costs, as ratios in one run (`python -m tests.bench`, or `make bench`)."""
