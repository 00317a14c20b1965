"""The two models: text by sentence-transformers, pictures by OpenCLIP."""
