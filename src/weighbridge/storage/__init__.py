"""Two ports (reading, writing) and the stores behind them."""
