"""Whether images are still those that a model was made for: statistics a picture, and tests on samples of them."""
