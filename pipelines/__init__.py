"""The DAGs, and the commands that compile and run them."""
