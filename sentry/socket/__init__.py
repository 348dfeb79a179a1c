"""Sockets of the guest: unix(7) and what socket(2) says of the other families."""
