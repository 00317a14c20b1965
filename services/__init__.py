"""Eddy's services, and the plumbing that they share; no service imports another."""
