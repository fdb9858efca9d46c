"""Shipped for tests of what stands around Weighbridge: sample submissions, and the contract every store must keep.

Needs pytest, which the package itself does not.
"""
