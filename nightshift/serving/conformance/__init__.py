"""What a model server has to do to be taken for TensorFlow Serving, as cases that any such server can be put under."""
