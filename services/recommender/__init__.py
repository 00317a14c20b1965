"""[sessions], [products] and [product-vectors] → recommendations over HTTP and WebSockets."""
