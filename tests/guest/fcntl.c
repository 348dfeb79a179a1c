/* dup(2), dup2(2), dup3(2), fcntl(2), close_range(2), ioctl(2) FIOCLEX: file descriptors. */
#include "check.h"
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#define CLOSE_RANGE_CLOEXEC 4
#endif

static int valid(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

TEST(dup_rules)
{
	int fd = OK(open("/", O_RDONLY | O_CLOEXEC)), d = OK(dup(fd));
	EQ(d, fd + 1);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(d, F_GETFD), 0);
	ERR(dup(999), EBADF);
	ERR(dup(-1), EBADF);
}

TEST(dup2_rules)
{
	int p[2];
	OK(pipe2(p, O_CLOEXEC));
	EQ(dup2(p[1], 40), 40);
	EQ(fcntl(40, F_GETFD), 0);
	EQ(dup2(40, 40), 40);
	OK(fcntl(40, F_SETFD, FD_CLOEXEC));
	EQ(dup2(40, 40), 40);
	EQ(fcntl(40, F_GETFD), FD_CLOEXEC); /* nothing happens */
	ERR(dup2(999, 40), EBADF);
	CHECK(valid(40));
	ERR(dup2(999, 999), EBADF);
	ERR(dup2(0, -1), EBADF);
	ERR(dup2(0, 1 << 28), EBADF);
	/* the old file at the number is closed: the pipe ends */
	OK(close(p[1]));
	EQ(dup2(0, 40), 40);
	char c;
	EQ(read(p[0], &c, 1), 0);
}

TEST(dup3_rules)
{
	EQ(dup3(0, 41, O_CLOEXEC), 41);
	EQ(fcntl(41, F_GETFD), FD_CLOEXEC);
	EQ(dup3(0, 41, 0), 41);
	EQ(fcntl(41, F_GETFD), 0);
	ERR(dup3(41, 41, 0), EINVAL);
	ERR(dup3(0, 42, O_NONBLOCK), EINVAL);
	ERR(dup3(999, 42, 0), EBADF);
}

TEST(f_dupfd)
{
	EQ(fcntl(0, F_DUPFD, 50), 50);
	EQ(fcntl(0, F_DUPFD, 50), 51);
	EQ(fcntl(0, F_DUPFD_CLOEXEC, 50), 52);
	EQ(fcntl(52, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(51, F_GETFD), 0);
	ERR(fcntl(0, F_DUPFD, -1), EINVAL);
	ERR(fcntl(999, F_DUPFD, 0), EBADF);
}

TEST(flags_belong_to_whom)
{
	int p[2];
	OK(pipe(p));
	int d = OK(dup(p[0]));
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	EQ(fcntl(d, F_GETFL), O_RDONLY | O_NONBLOCK); /* shared: the description's */
	OK(fcntl(p[0], F_SETFD, FD_CLOEXEC));
	EQ(fcntl(d, F_GETFD), 0); /* not shared: the descriptor's */
	OK(fcntl(p[0], F_SETFD, 0));
	EQ(fcntl(p[0], F_GETFD), 0);
	OK(fcntl(p[0], F_SETFD, 2));
	EQ(fcntl(p[0], F_GETFD), 0);
	int on = 0;
	OK(ioctl(d, FIONBIO, &on));
	EQ(fcntl(p[0], F_GETFL), O_RDONLY);
	OK(ioctl(d, FIOCLEX));
	EQ(fcntl(d, F_GETFD), FD_CLOEXEC);
	OK(ioctl(d, FIONCLEX));
	EQ(fcntl(d, F_GETFD), 0);
	EQ(write(p[1], "abc", 3), 3);
	OK(ioctl(d, FIONREAD, &on));
	EQ(on, 3);
	ERR(ioctl(d, FIONREAD, BAD), EFAULT);
	ERR(ioctl(d, 0x12345678, &on), ENOTTY);
	ERR(ioctl(999, FIONREAD, &on), EBADF);
	ERR(ioctl(d, TIOCGWINSZ, &on), ENOTTY);
	EQ(isatty(d), 0);
	EQ(errno, ENOTTY);
}

TEST(errors)
{
	ERR(fcntl(999, F_GETFD), EBADF);
	ERR(fcntl(999, F_GETFL), EBADF);
	ERR(fcntl(0, 9999), EINVAL);
	int path = OK(open("/", O_PATH));
	ERR(fcntl(path, F_SETFL, O_NONBLOCK), EBADF);
	EQ(fcntl(path, F_GETFD), 0);
	EQ(dup2(path, 60), 60);
	EQ(fcntl(60, F_GETFL) & O_PATH, O_PATH);
	ERR(ioctl(path, FIONREAD, &path), EBADF);
}

TEST(owner_and_signal)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(fcntl(s[0], F_GETOWN), 0);
	OK(fcntl(s[0], F_SETOWN, getpid()));
	EQ(fcntl(s[0], F_GETOWN), getpid());
	EQ(fcntl(s[0], F_GETSIG), 0);
	OK(fcntl(s[0], F_SETSIG, SIGRTMIN));
	EQ(fcntl(s[0], F_GETSIG), SIGRTMIN);
	ERR(fcntl(s[0], F_SETSIG, 100), EINVAL);
	ERR(fcntl(s[0], F_SETOWN, 0x3fffffff), ESRCH);
}

TEST(close_range_rules)
{
	if (syscall(SYS_close_range, 5000, 5001, 0) == -1 && errno == ENOSYS)
		SKIP("no close_range");
	for (int fd = 100; fd < 120; fd++)
		OK(dup2(0, fd));
	OK(syscall(SYS_close_range, 103, 105, 0));
	CHECK(valid(102) && !valid(103) && !valid(105) && valid(106));
	OK(syscall(SYS_close_range, 110, ~0u, CLOSE_RANGE_CLOEXEC));
	EQ(fcntl(110, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(109, F_GETFD), 0);
	ERR(syscall(SYS_close_range, 10, 9, 0), EINVAL);
	ERR(syscall(SYS_close_range, 10, 11, 64), EINVAL);
	IN_CHILD {
		OK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_UNSHARE));
		CHECK(!valid(100) && valid(2));
	}
	OK(syscall(SYS_close_range, 100, ~0u, 0));
	CHECK(!valid(119));
}

static void *closer(void *arg)
{
	OK(close(*(int *)arg));
	return NULL;
}

TEST(threads_share_the_table)
{
	pthread_t th;
	int fd = OK(dup(0));
	EQ(pthread_create(&th, NULL, closer, &fd), 0);
	EQ(pthread_join(th, NULL), 0);
	CHECK(!valid(fd));
	int kept = OK(dup(0));
	IN_CHILD {
		OK(close(kept));
	}
	CHECK(valid(kept));
}

TEST(many_descriptors)
{
	for (int i = 0; i < 1000; i++)
		EQ(fcntl(0, F_DUPFD, 10), 10 + i);
	for (int i = 0; i < 1000; i += 2)
		OK(close(10 + i));
	for (int i = 0; i < 1000; i += 2)
		EQ(fcntl(0, F_DUPFD, 10), 10 + i);
}
