"""procfs (proc(5)): what the kernel knows, as files. `vfs.proc.root.make` makes an instance."""
