"""Making a sandbox: Sentry and stub, their links, the state directory."""
