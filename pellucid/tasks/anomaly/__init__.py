"""Detect anomalies with a model of normal images only."""
