"""TCP (RFC 9293): the state table, the connection, its sender, receiver and congestion control."""
