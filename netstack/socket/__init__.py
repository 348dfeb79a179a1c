"""Endpoints that are not TCP: UDP, raw, ping and packet sockets, and what all endpoints share."""
