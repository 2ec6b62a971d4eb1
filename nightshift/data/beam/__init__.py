"""Data preparation on Apache Beam: the same dataset, byte for byte, on several processes or machines.

Two pipelines run one after the other. The first reads, checks and decodes the examples, spools their pixels, and counts
(`reading`); what can be wrong with data is known then, and is told here rather than by a worker. The second gives every
example its split, shard and place, and writes the shards (`ordering`, `writing`). Between them lies a folder that all
workers reach (`staging`); what flows through the runner are names and hashes, and pixels only where that folder is a
bucket.
"""
