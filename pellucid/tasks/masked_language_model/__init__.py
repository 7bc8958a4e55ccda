"""Predict masked tokens of a text."""
