"""Who is who, and who is to be forgotten."""
