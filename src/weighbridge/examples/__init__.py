"""Examples that run: scenarios of our own, with their data and policies."""
