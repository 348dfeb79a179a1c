/* The Sentry's own filter (seccomp(2)), and calls on descriptors for which Python has no name. Holds no policy. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* For every thread of the process; what it refuses is logged by the host. 0 or -errno. */
int eng_confine(const void *filter, unsigned len)
{
	struct sock_fprog prog = { len, (struct sock_filter *)filter };
	unsigned long flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	return rc < 0 ? -errno : rc ? -EBUSY : 0; /* a positive result is a thread that has another filter */
}

/* fallocate(2) with a mode. 0 or -errno. */
int eng_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
	return syscall(SYS_fallocate, fd, mode, offset, length) ? -errno : 0;
}

/* The poll(2) events of one descriptor that are true now, or -errno. */
int eng_ready(int fd, int events)
{
	struct pollfd one = { fd, events, 0 };
	struct timespec now = { 0, 0 };

	return ppoll(&one, 1, &now, NULL) < 0 ? -errno : one.revents;
}

enum { MAX_FDS = 253 }; /* SCM_MAX_FD */

/*
 * One read of a socket with what descriptors come along (unix(7), SCM_RIGHTS), without waiting: they are put into `fds`,
 * which has room for `limit`, and the rest of it is -1; more than that are closed. Bytes or -errno.
 */
int64_t eng_receive_fds(int fd, void *buf, uint64_t size, int *fds, int limit)
{
	union {
		char text[CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = { buf, size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct cmsghdr *head;
	int count = 0;
	ssize_t n;

	if (limit) {
		message.msg_control = control.text;
		message.msg_controllen = sizeof(control.text);
	}
	n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	for (head = CMSG_FIRSTHDR(&message); limit && head; head = CMSG_NXTHDR(&message, head)) {
		int *sent = (int *)CMSG_DATA(head);

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			if (count < limit)
				fds[count++] = sent[i];
			else
				close(sent[i]);
		}
	}
	while (count < limit)
		fds[count++] = -1;
	return n;
}

/* recv(2) and send(2) without waiting, whatever the description's flags are. Bytes or -errno. */
int64_t eng_receive(int fd, void *buf, uint64_t size)
{
	return eng_receive_fds(fd, buf, size, NULL, 0);
}

int64_t eng_send(int fd, const void *data, uint64_t size)
{
	ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}
