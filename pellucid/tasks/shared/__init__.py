"""What several tasks use: texts, images, samples over epochs, projections and what they ask of a model."""
