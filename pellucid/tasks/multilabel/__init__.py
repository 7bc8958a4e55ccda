"""Predict which of several labels a row has."""
