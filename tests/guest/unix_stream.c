/* unix(7), socketpair(2): stream sockets: data, shutdown, listen and accept, names, credentials. */
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static char buf[1 << 20];

static socklen_t name(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, strlen(path + (*path == '@')) + (*path == '@'));
	if (*path == '@') {
		a->sun_path[0] = 0;
		return offsetof(struct sockaddr_un, sun_path) + strlen(path);
	}
	return sizeof *a;
}

static void pair(int s[2])
{
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
}

static int listener(const char *path, int backlog)
{
	struct sockaddr_un a;
	int l = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	socklen_t n = name(&a, path);
	OK(bind(l, (struct sockaddr *)&a, n));
	OK(listen(l, backlog));
	return l;
}

static int connects(const char *path)
{
	struct sockaddr_un a;
	int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	socklen_t n = name(&a, path);
	if (connect(s, (struct sockaddr *)&a, n) == 0)
		return s;
	int e = errno;
	close(s);
	errno = e;
	return -1;
}

TEST(pair_both_ways)
{
	int s[2], n;
	pair(s);
	EQ(write(s[0], "to one", 6), 6);
	EQ(send(s[1], "to zero", 7, 0), 7);
	OK(ioctl(s[0], FIONREAD, &n));
	EQ(n, 7);
	EQ(recv(s[0], buf, 3, 0), 3);
	EQ(recv(s[0], buf, 100, MSG_PEEK), 4);
	EQ(read(s[0], buf, 100), 4);
	EQ(read(s[1], buf, 100), 6);
	ERR(recv(s[0], buf, 1, MSG_DONTWAIT), EAGAIN);
	EQ(write(s[0], "ab", 2), 2);
	EQ(write(s[0], "cd", 2), 2);
	EQ(recv(s[1], buf, 4, MSG_WAITALL), 4); /* a stream has no borders */
}

TEST(shutdown_and_end)
{
	int s[2];
	pair(s);
	signal(SIGPIPE, SIG_IGN);
	EQ(write(s[0], "x", 1), 1);
	OK(shutdown(s[0], SHUT_WR));
	ERR(write(s[0], "x", 1), EPIPE);
	EQ(read(s[1], buf, 10), 1);
	EQ(read(s[1], buf, 10), 0);
	EQ(write(s[1], "back", 4), 4); /* half closed */
	EQ(read(s[0], buf, 10), 4);
	OK(shutdown(s[0], SHUT_RD));
	ERR(send(s[1], "x", 1, 0), EPIPE);
	OK(close(s[1]));
	pair(s);
	EQ(write(s[0], "left", 4), 4);
	OK(close(s[0]));
	EQ(read(s[1], buf, 10), 4);
	EQ(read(s[1], buf, 10), 0);
	ERR(write(s[1], "x", 1), EPIPE);
	ERR(shutdown(s[1], 9), EINVAL);
	int lone = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	EQ(shutdown(lone, SHUT_WR), 0); /* unlike inet */
	ERR(shutdown(0x3ff, SHUT_WR), EBADF);
}

/* Closing with unread data tells the peer. */
TEST(reset_by_unread_data)
{
	int s[2];
	pair(s);
	EQ(write(s[0], "unread", 6), 6);
	OK(close(s[1]));
	ERR(read(s[0], buf, 10), ECONNRESET);
	EQ(read(s[0], buf, 10), 0);
}

TEST(sigpipe_and_nosignal)
{
	int s[2];
	pair(s);
	OK(close(s[1]));
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	pid_t pid = OK(fork());
	if (pid == 0) {
		send(s[0], "x", 1, 0);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGPIPE);
}

TEST(large_transfer)
{
	int s[2];
	pair(s);
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (size_t i = 0; i < sizeof buf; i++)
			buf[i] = i * 7 + i / 251;
		EQ(write(s[1], buf, sizeof buf), sizeof buf);
		_exit(0);
	}
	OK(close(s[1]));
	size_t got = 0;
	static char part[50001];
	for (ssize_t n; (n = OK(read(s[0], part, sizeof part))) > 0; got += n)
		for (ssize_t i = 0; i < n; i++)
			EQ(part[i], (char)((got + i) * 7 + (got + i) / 251));
	EQ(got, sizeof buf);
	REAP_OK(pid);
}

TEST(nonblocking_fills)
{
	int s[2];
	size_t total = 0;
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s));
	EQ(fcntl(s[0], F_GETFD), FD_CLOEXEC);
	for (ssize_t n; (n = write(s[0], buf, 10000)) > 0;)
		total += n;
	EQ(errno, EAGAIN);
	CHECK(total >= 50000 && total < 2000000);
	struct pollfd p = {s[0], POLLOUT, 0};
	EQ(poll(&p, 1, 0), 0);
	for (ssize_t n; (n = read(s[1], buf, 7777)) > 0;)
		total -= n;
	EQ(total, 0);
	EQ(poll(&p, 1, 0), 1);
}

TEST(accept_and_connect)
{
	struct sockaddr_un a, peer;
	socklen_t n = sizeof peer;
	int l = listener("sock", 5);
	struct stat st;
	OK(stat("sock", &st));
	CHECK(S_ISSOCK(st.st_mode));
	struct pollfd p = {l, POLLIN, 0};
	EQ(poll(&p, 1, 0), 0);
	int c = OK(connects("sock"));
	EQ(poll(&p, 1, 0), 1);
	EQ(write(c, "early", 5), 5); /* before it is accepted */
	int s = OK(accept(l, (struct sockaddr *)&peer, &n));
	EQ(n, 2); /* the client has no name */
	EQ(peer.sun_family, AF_UNIX);
	EQ(read(s, buf, 10), 5);
	EQ(write(s, "hi", 2), 2);
	EQ(read(c, buf, 10), 2);
	n = sizeof a;
	OK(getpeername(c, (struct sockaddr *)&a, &n));
	STR(a.sun_path, "sock");
	n = sizeof a;
	OK(getsockname(s, (struct sockaddr *)&a, &n));
	STR(a.sun_path, "sock");
	OK(fcntl(l, F_SETFL, O_NONBLOCK));
	ERR(accept(l, NULL, NULL), EAGAIN);
	OK(connects("sock"));
	s = OK(accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
	EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(s, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	ERR(accept4(l, NULL, NULL, 1), EINVAL);
	ERR(accept(c, NULL, NULL), EINVAL);
	OK(close(l));
	ERR(connects("sock"), ECONNREFUSED);
}

TEST(accept_waits)
{
	int l = listener("sock", 1);
	for (int i = 0; i < 10; i++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			sleep_ms(i % 3 * 10);
			int c = OK(connects("sock"));
			EQ(write(c, &i, sizeof i), sizeof i);
			EQ(read(c, buf, 1), 0);
			_exit(0);
		}
		int s = OK(accept(l, NULL, NULL)), got;
		EQ(read(s, &got, sizeof got), sizeof got);
		EQ(got, i);
		OK(close(s));
		REAP_OK(pid);
	}
}

TEST(backlog)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, "sock");
	listener("sock", 0);
	int one = OK(connects("sock"));
	int s = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	int r = connect(s, (struct sockaddr *)&a, n);
	if (r == 0) {
		s = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		r = connect(s, (struct sockaddr *)&a, n);
	}
	CHECK(r == -1 && errno == EAGAIN);
	OK(close(one));
}

TEST(abstract_names)
{
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	char own[64];
	snprintf(own, sizeof own, "@guest-test-%d", getpid());
	int l = listener(own, 5);
	int c = OK(connects(own));
	OK(getsockname(l, (struct sockaddr *)&a, &n));
	EQ(n, 2 + strlen(own));
	EQ(a.sun_path[0], 0);
	CHECK(!memcmp(a.sun_path + 1, own + 1, strlen(own) - 1));
	OK(close(accept(l, NULL, NULL)));
	EQ(read(c, buf, 1), 0);
	struct sockaddr_un again;
	socklen_t m = name(&again, own);
	int other = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(bind(other, (struct sockaddr *)&again, m), EADDRINUSE);
	OK(close(l));
	OK(bind(other, (struct sockaddr *)&again, m)); /* gone with the socket */
	ERR(connects("@no-such-name-at-all"), ECONNREFUSED);
	int automatic = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(automatic, (struct sockaddr *)&again, 2));
	n = sizeof a;
	OK(getsockname(automatic, (struct sockaddr *)&a, &n));
	EQ(n, 2 + 6);
}

TEST(bind_errors)
{
	struct sockaddr_un a;
	int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	make_file("plain", "");
	socklen_t n = name(&a, "plain");
	ERR(bind(s, (struct sockaddr *)&a, n), EADDRINUSE);
	ERR(connect(s, (struct sockaddr *)&a, n), ECONNREFUSED);
	n = name(&a, "missing/sock");
	ERR(bind(s, (struct sockaddr *)&a, n), ENOENT);
	ERR(connect(s, (struct sockaddr *)&a, n), ENOENT);
	ERR(bind(s, BAD, n), EFAULT);
	ERR(bind(s, (struct sockaddr *)&a, 1), EINVAL);
	ERR(bind(s, (struct sockaddr *)&a, 200), EINVAL);
	a.sun_family = 99;
	ERR(bind(s, (struct sockaddr *)&a, n), EINVAL);
	n = name(&a, "sock");
	OK(bind(s, (struct sockaddr *)&a, n));
	n = name(&a, "other");
	ERR(bind(s, (struct sockaddr *)&a, n), EINVAL);
	ERR(connects("sock"), ECONNREFUSED); /* not listening */
	ERR(bind(999, (struct sockaddr *)&a, n), EBADF);
	ERR(bind(0x7fffffff, (struct sockaddr *)&a, n), EBADF);
	int f = OK(open("plain", O_RDWR));
	ERR(bind(f, (struct sockaddr *)&a, n), ENOTSOCK);
	ERR(listen(f, 1), ENOTSOCK);
	ERR(accept(f, NULL, NULL), ENOTSOCK);
	ERR(send(f, "x", 1, 0), ENOTSOCK);
	ERR(getpeername(f, (struct sockaddr *)&a, &n), ENOTSOCK);
	int lone = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(listen(lone, 1), EINVAL);
	ERR(getpeername(lone, (struct sockaddr *)&a, &n), ENOTCONN);
	ERR(recv(lone, buf, 1, 0), EINVAL);
	ERR(send(lone, buf, 1, 0), ENOTCONN);
	ERR(socket(AF_UNIX, 99, 0), EINVAL);
	ERR(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
	ERR(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
	ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD), EFAULT);
	int pair_fds[2];
	pair(pair_fds);
	listener("listens", 1);
	n = name(&a, "listens");
	ERR(connect(pair_fds[0], (struct sockaddr *)&a, n), EISCONN);
	EQ(write(pair_fds[1], "keep", 4), 4);
	ERR(recv(pair_fds[0], BAD, 4, 0), EFAULT);
	EQ(recv(pair_fds[0], buf, 4, 0), 4);
}

TEST(options)
{
	int s[2], v;
	socklen_t n = sizeof v;
	pair(s);
	OK(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &n));
	EQ(v, SOCK_STREAM);
	OK(getsockopt(s[0], SOL_SOCKET, SO_DOMAIN, &v, &n));
	EQ(v, AF_UNIX);
	OK(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &v, &n));
	EQ(v, 0);
	OK(getsockopt(s[0], SOL_SOCKET, SO_ACCEPTCONN, &v, &n));
	EQ(v, 0);
	v = 100000;
	OK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
	OK(getsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, &n));
	EQ(v, 200000); /* doubled for bookkeeping, socket(7) */
	ERR(getsockopt(s[0], SOL_SOCKET, 9999, &v, &n), ENOPROTOOPT);
	ERR(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, BAD, sizeof v), EFAULT);
	ERR(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &v, 1), EINVAL);
	struct timeval tv = {0, 30000};
	OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	int64_t t = now_ns();
	ERR(recv(s[0], buf, 1, 0), EAGAIN);
	CHECK(now_ns() - t >= 29000000);
}

TEST(peer_credentials)
{
	struct ucred c;
	socklen_t n = sizeof c;
	int s[2];
	pair(s);
	OK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &c, &n));
	EQ(c.pid, getpid());
	EQ(c.uid, geteuid());
	EQ(c.gid, getegid());
	int l = listener("sock", 1);
	pid_t pid = OK(fork());
	if (pid == 0) {
		if (geteuid() == 0) {
			OK(chmod("sock", 0777));
			OK(setgid(23456));
			OK(setuid(12345));
		}
		int fd = OK(connects("sock"));
		EQ(read(fd, buf, 1), 0);
		_exit(0);
	}
	int a = OK(accept(l, NULL, NULL));
	OK(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &c, &n));
	EQ(c.pid, pid);
	if (geteuid() == 0)
		EQ(c.uid, 12345);
	OK(close(a));
	REAP_OK(pid);
}
