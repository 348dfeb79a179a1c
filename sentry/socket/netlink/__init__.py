"""AF_NETLINK (netlink(7)): a table of changes and questions about the network of a namespace, in messages."""
