"""Encoders: the zoo, its weights, preprocessing and forward pass."""
