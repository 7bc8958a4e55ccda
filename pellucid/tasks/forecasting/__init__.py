"""Forecast the next rows of a time series."""
