"""The system calls: a file a man-page family, declared with registry.syscall."""
