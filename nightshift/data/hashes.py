"""The hashes that decide where an example goes, the same whoever prepares the data and in whatever order."""

import hashlib


def content_hash(image: bytes) -> bytes:
    """16 bytes of raw pixels: finds duplicates."""
    return hashlib.sha256(image).digest()[:16]


def cut_hash(key: str) -> bytes:
    """16 bytes of an example's key: decides which images are held out."""
    return hashlib.sha256(b"held out\0" + key.encode()).digest()[:16]


def place_hash(seed: int, split: str, key: str) -> bytes:
    """8 bytes that decide the order of a split, and so the shard; also the example's id."""
    return hashlib.sha256(f"{seed}\0{split}\0{key}".encode()).digest()[:8]
