"""`python -m services.ops visitor`: one visitor, as every part of Eddy knows it."""
