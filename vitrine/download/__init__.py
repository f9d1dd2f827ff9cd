"""Fetching the images of a catalog into the store."""
