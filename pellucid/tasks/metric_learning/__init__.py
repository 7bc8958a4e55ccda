"""Learn an embedding in which distances compare examples."""
