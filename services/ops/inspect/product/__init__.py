"""`product`."""
