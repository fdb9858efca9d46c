"""Replays records that others made against policies written from their own rule books (`python -m tests.acceptance`)."""
