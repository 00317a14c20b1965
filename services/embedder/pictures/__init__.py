"""A product's picture: fetched, decoded, prepared for the model."""
