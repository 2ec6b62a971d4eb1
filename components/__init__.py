"""The steps as Kubeflow Pipelines components, one file a step: thin wrappers around `nightshift.steps`."""
