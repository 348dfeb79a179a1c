"""Network namespaces of the sandbox (network_namespaces(7)): a stack each, and who drives it (docs/netstack.md, 4)."""
