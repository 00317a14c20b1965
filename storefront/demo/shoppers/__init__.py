"""Simulated shoppers of the demo. Nobody was observed: no figure about them says anything of real ones."""
