"""From a trained network to a SavedModel that a model server can be trusted with."""
