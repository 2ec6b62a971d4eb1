"""From a source URI to a prepared dataset, and from there to the batches of a training."""
