"""The host as the runtime uses it: namespaces, mounts, cgroups, terminals, all through one protocol."""
