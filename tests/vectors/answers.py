"""`python -m tests.vectors.answers`: print what this interpreter answers to every vector, a line each, for comparing."""

from __future__ import annotations

import sys

from tests.vectors import corpus


def main() -> None:
    """Print ``name``, a space and the canonical bytes of the four answers."""
    for vector in corpus.vectors():
        sys.stdout.buffer.write(vector.name.encode() + b" " + vector.answer() + b"\n")


if __name__ == "__main__":
    main()
