"""Restore spans that were cut out of a text."""
