"""Where checkpoints are kept, so that whoever could rewrite a ledger cannot reach them."""
