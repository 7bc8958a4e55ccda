"""Predict the class of a row."""
