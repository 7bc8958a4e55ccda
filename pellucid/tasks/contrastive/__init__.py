"""Learn embeddings of pictures without classes, from two views of each."""
