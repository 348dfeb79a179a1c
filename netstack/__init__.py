"""The TCP/IP stack: bytes in, values out; it imports no host socket, clock or thread (docs/netstack.md)."""
