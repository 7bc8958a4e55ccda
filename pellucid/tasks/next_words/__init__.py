"""Predict which words follow soon."""
