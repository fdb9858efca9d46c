"""What became of it, in the end: captured after the fact, read by people, and by nothing that decides (O1)."""
