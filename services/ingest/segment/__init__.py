"""Segment's HTTP tracking API."""
