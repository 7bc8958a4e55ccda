"""Texts as tokens: tokenizers, vocabularies, ragged rows and masking."""
