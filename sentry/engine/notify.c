/* Seccomp user notification (seccomp_unotify(2)): one C call per guest call. Holds no policy. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#endif

/* Wake the answered task on this CPU (Linux 6.6); -errno where the kernel has no such flag. */
int eng_sync_wake_up(int listener, int on)
{
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, on ? 1UL : 0UL) ? -errno : 0;
}

int eng_reply(int listener, uint64_t id, int64_t value, int error, unsigned flags)
{
	struct seccomp_notif_resp resp = { .id = id, .val = value, .error = error, .flags = flags };

	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) ? -errno : 0;
}

/* Install srcfd in the waiting task at number `at`; newfd_flags is 0 or O_CLOEXEC. */
int eng_add_fd(int listener, uint64_t id, int srcfd, int at, unsigned newfd_flags)
{
	struct seccomp_notif_addfd add = {
		.id = id, .srcfd = srcfd, .newfd = at, .newfd_flags = newfd_flags, .flags = SECCOMP_ADDFD_FLAG_SETFD,
	};
	int fd = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	return fd < 0 ? -errno : fd;
}

/*
 * Answer `id` (unless 0), then wait until deadline_ns (CLOCK_MONOTONIC; -1 for ever, 0 not at all). Result: bit 0 a
 * request is in *req, bit 1 the epoll set has events, bit 2 children or tracees changed, bit 3 no task is left on the
 * listener, bit 4 the deadline had passed before; 0 it passed now; or -errno. RECV ignores O_NONBLOCK, so it is called
 * only after poll said that there is something.
 */
int eng_reply_wait(int listener, uint64_t id, int64_t value, int error, unsigned flags, int epfd, int sigfd,
		   int64_t deadline_ns, void *req)
{
	struct pollfd fds[3] = { { listener, POLLIN, 0 }, { epfd, POLLIN, 0 }, { sigfd, POLLIN, 0 } };
	struct timespec ts = { 0, 0 };
	int bits = 0, n;

	if (id)
		eng_reply(listener, id, value, error, flags);
	if (deadline_ns > 0) {
		int64_t left;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		left = deadline_ns - (ts.tv_sec * 1000000000L + ts.tv_nsec);
		if (left <= 0) {
			left = 0;
			bits = 16;
		}
		ts.tv_sec = left / 1000000000;
		ts.tv_nsec = left % 1000000000;
	}
	n = ppoll(fds, 3, deadline_ns < 0 ? NULL : &ts, NULL);
	if (n < 0)
		return errno == EINTR ? bits : -errno;
	if (fds[0].revents & POLLIN) {
		memset(req, 0, sizeof(struct seccomp_notif));
		if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, req))
			bits |= 1;
		else if (errno != ENOENT && errno != EINTR)
			return -errno;
	} else if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) {
		bits |= 8;
	}
	if (fds[1].revents)
		bits |= 2;
	if (fds[2].revents) {
		struct signalfd_siginfo info;

		while (read(sigfd, &info, sizeof(info)) == sizeof(info))
			;
		bits |= 4;
	}
	return bits;
}
