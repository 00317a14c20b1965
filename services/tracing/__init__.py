"""Traces: what an event passes, from the page to the push. Nothing of it is there unless it is turned on."""
