/* eventfd(2): a counter with a file descriptor. */
#include "check.h"
#include <poll.h>
#include <sys/eventfd.h>

static int polled(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	OK(poll(&p, 1, 0));
	return p.revents;
}

TEST(counter)
{
	uint64_t v = 0;
	int fd = OK(eventfd(3, EFD_NONBLOCK));
	EQ(polled(fd), POLLIN | POLLOUT);
	EQ(read(fd, &v, 8), 8);
	EQ(v, 3);
	EQ(polled(fd), POLLOUT);
	ERR(read(fd, &v, 8), EAGAIN);
	for (uint64_t i = 1; i <= 4; i++)
		EQ(write(fd, &i, 8), 8);
	EQ(read(fd, &v, 8), 8);
	EQ(v, 10);
	v = 0;
	EQ(write(fd, &v, 8), 8);
	EQ(polled(fd), POLLOUT);
}

TEST(limits)
{
	uint64_t v = UINT64_MAX - 1;
	int fd = OK(eventfd(0, EFD_NONBLOCK));
	EQ(write(fd, &v, 8), 8);
	EQ(polled(fd), POLLIN);
	v = 1;
	ERR(write(fd, &v, 8), EAGAIN);
	v = UINT64_MAX;
	ERR(write(fd, &v, 8), EINVAL);
	EQ(read(fd, &v, 8), 8);
	EQ(v, UINT64_MAX - 1);
}

TEST(semaphore)
{
	uint64_t v;
	int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		EQ(read(fd, &v, 8), 8);
		EQ(v, 1);
	}
	ERR(read(fd, &v, 8), EAGAIN);
}

TEST(errors)
{
	uint64_t v = 1;
	char big[16];
	int fd = OK(eventfd(1, EFD_NONBLOCK));
	ERR(eventfd(0, 0x100), EINVAL);
	ERR(read(fd, &v, 7), EINVAL);
	ERR(write(fd, &v, 7), EINVAL);
	ERR(read(fd, BAD, 8), EFAULT);
	ERR(write(fd, BAD, 8), EFAULT);
	ERR(pread(fd, &v, 8, 0), ESPIPE);
	OK(write(fd, &v, 8));
	EQ(read(fd, big, 16), 8);
	EQ(syscall(SYS_eventfd, 5), fd + 1);
}

TEST(blocking)
{
	uint64_t v = 7;
	int fd = OK(eventfd(0, 0));
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		EQ(write(fd, &v, 8), 8);
		_exit(0);
	}
	v = 0;
	EQ(read(fd, &v, 8), 8);
	EQ(v, 7);
	REAP_OK(pid);
	v = UINT64_MAX - 1;
	EQ(write(fd, &v, 8), 8);
	pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		EQ(read(fd, &v, 8), 8);
		_exit(v == UINT64_MAX - 1 ? 0 : 1);
	}
	v = 5;
	EQ(write(fd, &v, 8), 8); /* waits until there is room */
	REAP_OK(pid);
	EQ(read(fd, &v, 8), 8);
	EQ(v, 5);
}
