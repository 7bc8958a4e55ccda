"""Predict a number, or several, for a row."""
