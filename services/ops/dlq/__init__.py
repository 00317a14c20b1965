"""Dead letters: which lie there, whether they would be taken today, and what puts them back."""
