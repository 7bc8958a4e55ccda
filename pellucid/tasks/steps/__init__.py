"""Predict a class, or numbers, for every step of a series."""
