"""How much of what comes from outside is looked at: a hostile or broken file costs no more than this."""

MAX_ENCODED_BYTES = 64 * 2**20
"""Bytes of one encoded image."""

MAX_PIXELS = 50_000_000
"""Height times width of one image, checked from its header before any pixel is decoded."""

MAX_MEMBERS = 5_000_000
"""Files in an archive, and objects below a prefix: a list of them is held in memory."""

MAX_TOTAL_BYTES = 256 * 2**30
"""Uncompressed bytes of an archive, and bytes of a download over HTTPS."""

MAX_RATIO = 200
"""Uncompressed over compressed bytes of an archive of images; JPEG and PNG hardly shrink."""

MAX_CLASSES = 10_000
"""Classes of a dataset."""
