"""Predict a tag for every token of a text."""
