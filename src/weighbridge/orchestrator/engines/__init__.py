"""What drives plans: one worker process for a store (``local``), or many that share it (``dbos``)."""
