"""Nightshift: image models trained every night on Kubeflow Pipelines and served over TensorFlow Serving's API."""

__version__ = "0.1.0"
