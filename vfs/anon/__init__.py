"""Files without a path: pipes, counters, timers, epoll sets, memfds, the container's stdio."""
