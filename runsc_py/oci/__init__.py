"""OCI runtime-spec: config.json, state and hooks."""
