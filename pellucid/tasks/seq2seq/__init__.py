"""Write one text from another, such as its translation."""
