"""The demo's catalogue: products with drawn pictures, made from a seed."""
