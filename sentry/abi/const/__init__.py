"""Constants by subject; sentry.abi.flags has them all."""
