"""`doctor`: what Eddy needs, looked at one by one; each line with what was found and what to do."""
