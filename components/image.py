"""The container image that the steps run in: named here and nowhere else."""

IMAGE = "nightshift/train:python3.11"
