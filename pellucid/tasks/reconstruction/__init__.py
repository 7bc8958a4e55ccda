"""Encode and reconstruct images; denoise them."""
