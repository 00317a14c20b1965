"""A shop of simulated shoppers whose true taste is known: what different rows bring in it.

It knows nothing of how rows are ranked: a ranking is whatever has the three methods of `world.Ranking`.
Shoppers know products by their traits alone. No figure says anything of real shoppers.
"""
