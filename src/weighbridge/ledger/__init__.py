"""What happened, provably: records, the chain over them, and what follows from them. Pure."""
