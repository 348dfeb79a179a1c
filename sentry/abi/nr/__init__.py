"""System call numbers, a module an architecture."""
