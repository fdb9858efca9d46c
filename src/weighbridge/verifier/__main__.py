"""`python -m weighbridge.verifier`."""

from weighbridge.verifier.command import run

run()
