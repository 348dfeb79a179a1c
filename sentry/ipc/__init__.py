"""Interprocess communication: System V objects (sysvipc(7)) and POSIX message queues (mq_overview(7))."""
