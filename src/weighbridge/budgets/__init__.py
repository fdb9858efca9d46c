"""Can we afford it? Pure: which caps apply, to which counters, in which period, and what that adds up to."""
