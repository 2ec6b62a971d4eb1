"""From a published SavedModel to one that this project's servers, clients and releases can be trusted with."""
