"""Operating Eddy: `python -m services.ops`, topics and loading of catalogues and events."""
