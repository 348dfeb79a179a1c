"""One file per command of the runtime; this package imports nothing by itself, a command pays only for what it uses."""
