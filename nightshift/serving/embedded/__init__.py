"""A small model server with TensorFlow Serving's API, for machines that have no TensorFlow Serving.

    python -m nightshift.serving.embedded --port=8500 --model_name=digits --model_base_path=/models/digits

It is ready after 2 seconds, most of them imports, and prints `serving on HOST:PORT`.
"""
