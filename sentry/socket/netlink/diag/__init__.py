"""NETLINK_SOCK_DIAG (sock_diag(7)): the sockets of a network namespace, as ss(8) asks for them."""
