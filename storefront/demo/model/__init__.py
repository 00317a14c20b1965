"""The demo's own small OpenCLIP: its training, its measurement, its checkpoint."""
