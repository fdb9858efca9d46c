"""May it happen, right now? Pure functions of a context and a policy."""
