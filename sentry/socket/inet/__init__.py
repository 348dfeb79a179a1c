"""Sockets of AF_INET and AF_INET6: the stack of a network namespace behind descriptors (docs/netstack.md, 4)."""
