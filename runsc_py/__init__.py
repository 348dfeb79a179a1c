"""The program that a container engine starts: commands of an OCI runtime (runtime-spec runtime.md)."""

VERSION = "0.1.0"
SPEC_VERSION = "1.0.2-dev"
