"""What a run did, for people: plots, the pages of its steps, one report. No TensorFlow."""
