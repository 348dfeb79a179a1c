"""Terminals: line discipline, pseudo-terminals, the container's console (tty(4), pty(7))."""
