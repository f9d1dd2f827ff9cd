"""The tests mirror the tree. They are run from the project's root."""
