"""The container image that the steps run in unless a run says otherwise: named here and nowhere else."""

IMAGE = "localhost/nightshift/train:dev"
