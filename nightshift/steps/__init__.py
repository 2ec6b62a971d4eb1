"""The steps of the workflow as plain functions: what a pipeline's component or a command calls.

Each keeps its record in the run's folder, where the report reads it.
"""
