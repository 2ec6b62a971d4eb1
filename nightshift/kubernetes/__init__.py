"""A Kubernetes namespace: its objects as JSON, what it says of Pods. Releases and trainings both use it."""
