"""`snippet`: the lines for a shop's page, and whether they would work."""
