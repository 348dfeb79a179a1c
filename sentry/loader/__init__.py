"""execve(2): what the Sentry decides about a program file, and the plan by which the in-guest loader carries it out."""
