/* poll(2), select(2): readiness of pipes, sockets, files and bad numbers. */
#include "check.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

static int events(int fd, int want)
{
	struct pollfd p = {fd, want, 0};
	OK(poll(&p, 1, 0));
	return p.revents;
}

TEST(pipe_events)
{
	int p[2];
	static char buf[65536];
	OK(pipe2(p, O_NONBLOCK));
	EQ(events(p[0], POLLIN), 0);
	EQ(events(p[1], POLLOUT), POLLOUT);
	EQ(events(p[1], POLLIN), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(events(p[0], POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
	EQ(events(p[0], 0), 0);
	CHECK(write(p[1], buf, sizeof buf) > 0);
	while (write(p[1], buf, 1) == 1)
		;
	EQ(events(p[1], POLLOUT), 0);
	OK(close(p[1]));
	EQ(events(p[0], POLLIN), POLLIN | POLLHUP);
	while (read(p[0], buf, sizeof buf) > 0)
		;
	EQ(events(p[0], POLLIN), POLLHUP);
	EQ(events(p[0], 0), POLLHUP); /* told without being asked */
	OK(pipe(p));
	OK(close(p[0]));
	EQ(events(p[1], POLLOUT), POLLOUT | POLLERR);
}

TEST(socket_events)
{
	int s[2];
	char c;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(events(s[0], POLLIN | POLLOUT | POLLRDHUP), POLLOUT);
	EQ(write(s[1], "x", 1), 1);
	EQ(events(s[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
	EQ(read(s[0], &c, 1), 1);
	OK(shutdown(s[1], SHUT_WR));
	EQ(events(s[0], POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
	OK(close(s[1]));
	EQ(events(s[0], POLLIN | POLLOUT), POLLIN | POLLOUT | POLLHUP);
}

TEST(files_and_bad_numbers)
{
	int f = OK(open("f", O_RDWR | O_CREAT, 0600)), path = OK(open("f", O_PATH));
	EQ(events(f, POLLIN | POLLOUT | POLLPRI), POLLIN | POLLOUT);
	EQ(events(999, POLLIN), POLLNVAL);
	EQ(events(path, POLLIN), POLLNVAL);
	struct pollfd p[3] = {{-1, POLLIN, 77}, {f, POLLIN, 0}, {999, POLLIN, 0}};
	EQ(poll(p, 3, -1), 2);
	EQ(p[0].revents, 0); /* negative: left out */
	EQ(p[2].revents, POLLNVAL);
}

TEST(errors_and_timeouts)
{
	struct pollfd p = {0, POLLIN, 0};
	struct rlimit rl;
	ERR(poll(BAD, 1, 0), EFAULT);
	OK(getrlimit(RLIMIT_NOFILE, &rl));
	ERR(poll(&p, rl.rlim_cur + 1, 0), EINVAL);
	EQ(poll(NULL, 0, 0), 0);
	int64_t t = now_ns();
	EQ(poll(NULL, 0, 50), 0);
	CHECK(now_ns() - t >= 50000000);
	int q[2];
	OK(pipe(q));
	p.fd = q[0];
	t = now_ns();
	EQ(poll(&p, 1, 50), 0);
	CHECK(now_ns() - t >= 50000000);
	EQ(p.revents, 0);
}

TEST(woken_by_another)
{
	int p[2], q[2], s[2];
	char c;
	OK(pipe(p));
	OK(pipe(q));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct pollfd v[3] = {{p[0], POLLIN, 0}, {q[0], POLLIN, 0}, {s[0], POLLIN, 0}};
	for (int i = 0; i < 30; i++) {
		int to = i % 3 == 0 ? p[1] : i % 3 == 1 ? q[1] : s[1];
		pid_t pid = OK(fork());
		if (pid == 0) {
			if (i % 2)
				sleep_ms(5);
			EQ(write(to, "x", 1), 1);
			_exit(0);
		}
		EQ(poll(v, 3, 30000), 1);
		for (int k = 0; k < 3; k++)
			EQ(v[k].revents, k == i % 3 ? POLLIN : 0);
		EQ(read(v[i % 3].fd, &c, 1), 1);
		REAP_OK(pid);
	}
}

TEST(woken_by_close)
{
	int p[2];
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(30);
		_exit(0);
	}
	OK(close(p[1]));
	struct pollfd v = {p[0], POLLIN, 0};
	EQ(poll(&v, 1, 30000), 1);
	EQ(v.revents, POLLHUP);
	REAP_OK(pid);
}

TEST(many)
{
	static struct pollfd v[1000];
	int p[2];
	OK(pipe(p));
	for (int i = 0; i < 1000; i++)
		v[i] = (struct pollfd){p[0], POLLIN, 0};
	EQ(poll(v, 1000, 0), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(poll(v, 1000, -1), 1000);
}

static int selects(int n, fd_set *r, fd_set *w, fd_set *e, long us)
{
	struct timeval tv = {us / 1000000, us % 1000000};
	return select(n, r, w, e, &tv);
}

TEST(select_sets)
{
	int p[2];
	fd_set r, w, e;
	OK(pipe(p));
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	FD_SET(p[0], &e);
	EQ(selects(p[1] + 1, &r, &w, &e, 0), 1);
	CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &e));
	EQ(write(p[1], "x", 1), 1);
	FD_SET(p[0], &r);
	EQ(selects(p[1] + 1, &r, &w, NULL, 0), 2);
	FD_SET(p[0], &r);
	EQ(selects(p[0], &r, NULL, NULL, 0), 0); /* below the number only */
	OK(close(p[1]));
	char c;
	EQ(read(p[0], &c, 1), 1);
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	EQ(selects(p[0] + 1, &r, NULL, NULL, 1000000), 1); /* end of file is readable */
	FD_ZERO(&w);
	FD_SET(p[0], &w);
}

TEST(select_errors)
{
	fd_set r;
	struct timeval neg = {-1, 0};
	FD_ZERO(&r);
	FD_SET(20, &r); /* within the table: Linux looks no further than its size */
	ERR(selects(21, &r, NULL, NULL, 0), EBADF);
	ERR(select(-1, NULL, NULL, NULL, NULL), EINVAL);
	ERR(syscall(SYS_select, 0, NULL, NULL, NULL, &neg), EINVAL);
	ERR(selects(10, BAD, NULL, NULL, 0), EFAULT);
	ERR(syscall(SYS_select, 0, NULL, NULL, NULL, BAD), EFAULT); /* the library itself looks at the time */
}

TEST(select_time_left)
{
	int p[2];
	fd_set r;
	struct timeval tv = {10, 0};
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(50);
		EQ(write(p[1], "x", 1), 1);
		_exit(0);
	}
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 1);
	CHECK(tv.tv_sec < 10 && tv.tv_sec >= 0); /* Linux writes back what is left */
	REAP_OK(pid);
	struct timeval zero = {0, 30000};
	int64_t t = now_ns();
	EQ(select(0, NULL, NULL, NULL, &zero), 0);
	CHECK(now_ns() - t >= 30000000);
	EQ(zero.tv_sec * 1000000 + zero.tv_usec, 0);
}
