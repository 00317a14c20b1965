"""How good the recommendations are, on data that no one here wrote: `make evaluate`."""
