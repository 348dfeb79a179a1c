"""sysfs (sysfs(5)): the few of its files that programs read. `vfs.sys.root.make` makes an instance."""
