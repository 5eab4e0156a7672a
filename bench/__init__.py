"""Benches: `make bench`, or `python -m bench redirect …`; each prints one JSON line. Never a pass or fail by time."""
