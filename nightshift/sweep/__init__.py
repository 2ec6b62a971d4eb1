"""Sweeps: which settings are tried, what each trial came to, and what the best is trained with in the end."""
