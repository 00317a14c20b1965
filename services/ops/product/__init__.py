"""`python -m services.ops product`: one product, as every part of Eddy knows it."""
