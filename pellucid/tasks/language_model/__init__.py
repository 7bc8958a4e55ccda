"""Predict the next token of a text."""
