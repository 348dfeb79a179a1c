"""NETLINK_ROUTE (rtnetlink(7)): links, addresses, routes, neighbours, rules."""
