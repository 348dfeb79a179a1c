"""Linux's numbers and layouts; imports nothing of the project."""
