"""[products] → vectors of text, pictures, categories and numbers → [product-vectors] (and Qdrant)."""
