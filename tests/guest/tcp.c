/* tcp(7), ip(7), ipv6(7), connect(2), accept(2), shutdown(2), recv(2), poll(2): connections over the loopback. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif
#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)
static char buf[1 << 20];

static struct sockaddr_in v4(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	EQ(inet_pton(AF_INET, host, &a.sin_addr), 1);
	return a;
}

static struct sockaddr_in6 v6(const char *host, int port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	EQ(inet_pton(AF_INET6, host, &a.sin6_addr), 1);
	return a;
}

#define BIND(s, a)                                                                                                            \
	({                                                                                                                     \
		__typeof__(a) bind_a = (a);                                                                                    \
		bind(s, (struct sockaddr *)&bind_a, sizeof bind_a);                                                            \
	})
#define CONNECT(s, a)                                                                                                         \
	({                                                                                                                     \
		__typeof__(a) conn_a = (a);                                                                                    \
		connect(s, (struct sockaddr *)&conn_a, sizeof conn_a);                                                         \
	})

static int port_of(int s)
{
	struct sockaddr_in6 a;
	socklen_t n = sizeof a;
	OK(getsockname(s, (struct sockaddr *)&a, &n));
	return ntohs(a.sin6_port);
}

static int tcp(void)
{
	return OK(socket(AF_INET, SOCK_STREAM, 0));
}

static int tcp6(void)
{
	return OK(socket(AF_INET6, SOCK_STREAM, 0));
}

static int listener(int *port, int backlog)
{
	int l = tcp();
	OK(BIND(l, v4("127.0.0.1", 0)));
	OK(listen(l, backlog));
	*port = port_of(l);
	return l;
}

static void set(int s, int level, int name, int value)
{
	OK(setsockopt(s, level, name, &value, sizeof value));
}

static int get(int s, int level, int name)
{
	int value = -77;
	socklen_t n = sizeof value;
	OK(getsockopt(s, level, name, &value, &n));
	EQ(n, sizeof value);
	return value;
}

static void pair(int s[2])
{
	int port, l = listener(&port, 5);
	s[0] = tcp();
	OK(CONNECT(s[0], v4("127.0.0.1", port)));
	s[1] = OK(accept(l, NULL, NULL));
	OK(close(l));
}

static int bits(int s)
{
	struct pollfd p = {.fd = s, .events = ALL};
	OK(poll(&p, 1, 0));
	return p.revents;
}

/* The bits come, if not at once: over a network they take their time. */
#define BITS(s, expected)                                                                                                     \
	do {                                                                                                                   \
		for (int bits_i = 0; bits_i < 200 && bits(s) != (expected); bits_i++)                                         \
			sleep_ms(5);                                                                                           \
		EQ(bits(s), (expected));                                                                                       \
	} while (0)

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

static void nonblock(int s)
{
	OK(fcntl(s, F_SETFL, OK(fcntl(s, F_GETFL)) | O_NONBLOCK));
}

static void reset(int s)
{
	struct linger hard = {1, 0};
	OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
	OK(close(s));
}

TEST(handshake_and_names)
{
	int port, l = listener(&port, 5), s = tcp();
	struct sockaddr_in a, b;
	socklen_t n = sizeof a;
	ERR(getpeername(s, (struct sockaddr *)&a, &n), ENOTCONN);
	OK(getsockname(s, (struct sockaddr *)&a, &n));
	EQ(n, 16);
	EQ(a.sin_family, AF_INET);
	EQ(a.sin_port, 0);
	EQ(a.sin_addr.s_addr, 0);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	n = sizeof b;
	int c = OK(accept4(l, (struct sockaddr *)&b, &n, SOCK_CLOEXEC | SOCK_NONBLOCK));
	EQ(n, 16);
	EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(c, F_GETFL), O_RDWR | O_NONBLOCK);
	n = sizeof a;
	OK(getsockname(s, (struct sockaddr *)&a, &n));
	EQ(a.sin_port, b.sin_port);
	EQ(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK(a.sin_port != 0);
	n = sizeof a;
	OK(getpeername(s, (struct sockaddr *)&a, &n));
	EQ(ntohs(a.sin_port), port);
	n = 4;
	OK(getsockname(c, (struct sockaddr *)&a, &n));
	EQ(n, 16);
	EQ(ntohs(a.sin_port), port);
	ERR(recv(c, buf, 1, 0), EAGAIN);
	EQ(send(s, "hello", 5, 0), 5);
	BITS(c, READABLE | WRITABLE);
	EQ(recv(c, buf, 100, 0), 5);
	EQ(memcmp(buf, "hello", 5), 0);
	ERR(CONNECT(s, v4("127.0.0.1", port)), EISCONN);
	ERR(CONNECT(c, v4("127.0.0.1", port)), EISCONN);
	ERR(CONNECT(l, v4("127.0.0.1", port)), EISCONN);
	ERR(accept(s, NULL, NULL), EINVAL);
	ERR(listen(s, 1), EINVAL);
	ERR(BIND(s, v4("127.0.0.1", 0)), EINVAL);
}

TEST(bad_addresses)
{
	int s = tcp();
	struct sockaddr_in a = v4("127.0.0.1", 1);
	ERR(connect(s, (struct sockaddr *)&a, 1), EINVAL);
	ERR(connect(s, (struct sockaddr *)&a, 8), EINVAL);
	ERR(connect(s, (struct sockaddr *)&a, 129), EINVAL);
	ERR(connect(s, BAD, 16), EFAULT);
	ERR(bind(s, (struct sockaddr *)&a, 15), EINVAL);
	a.sin_family = AF_INET6;
	ERR(connect(s, (struct sockaddr *)&a, 16), EAFNOSUPPORT);
	ERR(bind(s, (struct sockaddr *)&a, 16), EAFNOSUPPORT);
	a.sin_family = AF_UNSPEC;
	ERR(bind(s, (struct sockaddr *)&a, 16), EAFNOSUPPORT);
	ERR(BIND(s, v4("192.0.2.77", 0)), EADDRNOTAVAIL);
	a.sin_addr.s_addr = 0;
	a.sin_port = 0;
	OK(bind(s, (struct sockaddr *)&a, 16));
	CHECK(port_of(s) != 0);
	ERR(BIND(s, v4("127.0.0.1", 0)), EINVAL);
	s = tcp6();
	struct sockaddr_in6 b = v6("::1", 0);
	ERR(bind(s, (struct sockaddr *)&b, 23), EINVAL);
	ERR(BIND(s, v4("127.0.0.1", 0)), EINVAL);
	ERR(BIND(s, v6("2001:db8::77", 0)), EADDRNOTAVAIL);
	ERR(BIND(s, v6("ff02::1", 0)), EINVAL);
	ERR(BIND(s, v6("fe80::1", 0)), EINVAL);
	OK(bind(s, (struct sockaddr *)&b, 24));
	ERR(CONNECT(s, v4("127.0.0.1", 1)), EINVAL);
	b.sin6_family = AF_INET;
	ERR(CONNECT(s, b), EAFNOSUPPORT);
	s = tcp();
	ERR(CONNECT(s, v4("224.0.0.1", 1)), ENETUNREACH);
	ERR(CONNECT(s, v4("255.255.255.255", 1)), ENETUNREACH);
	ERR(listen(1 << 20, 1), EBADF);
	int p[2];
	OK(pipe(p));
	ERR(listen(p[0], 1), ENOTSOCK);
	ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	ERR(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
	ERR(socket(AF_INET6, SOCK_STREAM, 5000), EINVAL);
	s = OK(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
	ERR(socketpair(AF_INET, SOCK_STREAM, 0, p), EOPNOTSUPP);
}

TEST(low_ports_take_a_capability)
{
	NEED_ROOT();
	int s = tcp(), s6 = tcp6();
	OK(setgid(65534));
	OK(setuid(65534));
	ERR(BIND(s, v4("127.0.0.1", 1023)), EACCES);
	ERR(BIND(s, v4("192.0.2.77", 1023)), EADDRNOTAVAIL);
	ERR(BIND(s6, v6("::1", 1023)), EACCES);
	OK(BIND(s, v4("127.0.0.1", 0)));
}

TEST(refused)
{
	int port, l = listener(&port, 1), s = tcp();
	OK(close(l));
	ERR(CONNECT(s, v4("127.0.0.1", port)), ECONNREFUSED);
	EQ(get(s, SOL_SOCKET, SO_ERROR), 0);
	ERR(CONNECT(s, v4("127.0.0.1", port)), ECONNREFUSED);
	l = tcp();
	set(l, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(BIND(l, v4("127.0.0.1", port)));
	OK(listen(l, 1));
	OK(CONNECT(s, v4("127.0.0.1", port)));
}

TEST(nonblocking_connect)
{
	int port, l = listener(&port, 5), s = tcp(), e = 1;
	socklen_t n = sizeof e;
	nonblock(s);
	EQ(bits(s), WRITABLE | POLLHUP);
	ERR(CONNECT(s, v4("127.0.0.1", port)), EINPROGRESS);
	BITS(s, WRITABLE);
	OK(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &n));
	EQ(e, 0);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	ERR(CONNECT(s, v4("127.0.0.1", port)), EISCONN);
	OK(close(l));
	s = tcp();
	nonblock(s);
	ERR(CONNECT(s, v4("127.0.0.1", port)), EINPROGRESS);
	BITS(s, READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	EQ(get(s, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	EQ(get(s, SOL_SOCKET, SO_ERROR), 0);
	ERR(CONNECT(s, v4("127.0.0.1", port)), ECONNABORTED);
	ERR(CONNECT(s, v4("127.0.0.1", port)), EINPROGRESS);
	sleep_ms(20);
	ERR(CONNECT(s, v4("127.0.0.1", port)), ECONNREFUSED);
}

TEST(backlog_is_bounded)
{
	int port, l = listener(&port, 1), s[8], done = 0;
	for (int i = 0; i < 8; i++) {
		s[i] = tcp();
		nonblock(s[i]);
		ERR(CONNECT(s[i], v4("127.0.0.1", port)), EINPROGRESS);
	}
	sleep_ms(100);
	for (int i = 0; i < 8; i++)
		done += bits(s[i]) == WRITABLE;
	EQ(done, 2);
	ERR(CONNECT(s[7], v4("127.0.0.1", port)), EALREADY);
	EQ(bits(l), READABLE);
	for (int i = 0; i < 4; i++) /* the others come when they try again, after a second */
		OK(accept(l, NULL, NULL));
}

TEST(blocking_calls_wake)
{
	int port, l = listener(&port, 5);
	pid_t pid = OK(fork());
	if (!pid) {
		sleep_ms(50);
		int s = tcp();
		OK(CONNECT(s, v4("127.0.0.1", port)));
		EQ(recv(s, buf, 10, 0), 3);
		sleep_ms(50);
		EQ(write(s, "abcde", 5), 5);
		EQ(read(s, buf, 10), 0);
		_exit(0);
	}
	int c = OK(accept(l, NULL, NULL));
	EQ(write(c, "abc", 3), 3);
	EQ(recv(c, buf, 5, MSG_WAITALL), 5);
	OK(close(c));
	REAP_OK(pid);
	nonblock(l);
	ERR(accept(l, NULL, NULL), EAGAIN);
}

TEST(half_close)
{
	int s[2];
	pair(s);
	EQ(write(s[0], "last", 4), 4);
	OK(shutdown(s[0], SHUT_WR));
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	BITS(s[1], READABLE | WRITABLE | POLLRDHUP);
	EQ(bits(s[0]), WRITABLE);
	EQ(read(s[1], buf, 100), 4);
	EQ(read(s[1], buf, 100), 0);
	EQ(read(s[1], buf, 100), 0);
	EQ(write(s[1], "answer", 6), 6);
	OK(shutdown(s[1], SHUT_WR));
	EQ(recv(s[0], buf, 100, MSG_WAITALL), 6);
	EQ(read(s[0], buf, 100), 0);
	BITS(s[0], READABLE | WRITABLE | POLLHUP | POLLRDHUP);
	BITS(s[1], READABLE | WRITABLE | POLLHUP | POLLRDHUP);
	ERR(shutdown(s[0], 3), EINVAL);
}

TEST(shutdown_rules)
{
	int s[2], port, l;
	s[0] = tcp();
	ERR(shutdown(s[0], SHUT_RD), ENOTCONN);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	EQ(recv(s[0], buf, 1, 0), 0); /* the shut side is remembered */
	s[1] = tcp();
	ERR(recv(s[1], buf, 1, 0), ENOTCONN);
	pair(s);
	OK(shutdown(s[0], SHUT_RD));
	EQ(read(s[0], buf, 10), 0);
	EQ(bits(s[0]), READABLE | WRITABLE | POLLRDHUP);
	EQ(write(s[1], "still", 5), 5);
	sleep_ms(20);
	EQ(read(s[0], buf, 10), 5);
	EQ(read(s[0], buf, 10), 0);
	l = listener(&port, 5);
	OK(shutdown(l, SHUT_WR));
	EQ(bits(l), 0);
	OK(shutdown(l, SHUT_RD));
	BITS(l, WRITABLE | POLLHUP);
	ERR(accept(l, NULL, NULL), EINVAL);
	s[0] = tcp();
	ERR(CONNECT(s[0], v4("127.0.0.1", port)), ECONNREFUSED);
	OK(listen(l, 5)); /* at another port: bind(2) had not asked for this one */
	OK(CONNECT(s[0], v4("127.0.0.1", port_of(l))));
}

TEST(shutdown_wakes_the_accepter)
{
	int port, l = listener(&port, 5);
	pid_t pid = OK(fork());
	if (!pid) {
		ERR(accept(l, NULL, NULL), EINVAL);
		_exit(0);
	}
	sleep_ms(50);
	OK(shutdown(l, SHUT_RDWR));
	REAP_OK(pid);
}

TEST(broken_pipe)
{
	int s[2];
	pair(s);
	OK(close(s[1]));
	BITS(s[0], READABLE | WRITABLE | POLLRDHUP);
	EQ(write(s[0], "x", 1), 1); /* answered by a reset */
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(s[0], "x", 1), EPIPE);
	ERR(write(s[0], "x", 1), EPIPE);
	EQ(read(s[0], buf, 1), 0);
	signal(SIGPIPE, SIG_DFL);
	pid_t pid = OK(fork());
	if (!pid) {
		ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
		write(s[0], "x", 1);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGPIPE);
}

TEST(unread_data_resets)
{
	int s[2];
	pair(s);
	EQ(write(s[0], "unread", 6), 6);
	BITS(s[1], READABLE | WRITABLE);
	EQ(write(s[1], "kept", 4), 4);
	OK(close(s[1]));
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	EQ(read(s[0], buf, 10), 4);
	ERR(read(s[0], buf, 10), ECONNRESET);
	EQ(read(s[0], buf, 10), 0);
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	ERR(getpeername(s[0], (struct sockaddr *)&a, &n), ENOTCONN);
	OK(getsockname(s[0], (struct sockaddr *)&a, &n));
	CHECK(a.sin_port != 0);
}

TEST(linger_of_nothing_resets)
{
	int s[2];
	pair(s);
	reset(s[1]);
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	EQ(get(s[0], SOL_SOCKET, SO_ERROR), ECONNRESET);
	EQ(get(s[0], SOL_SOCKET, SO_ERROR), 0);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	pair(s);
	reset(s[1]);
	sleep_ms(20);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(reset_wakes_a_reader)
{
	int s[2];
	pair(s);
	pid_t pid = OK(fork());
	if (!pid) {
		OK(close(s[1]));
		ERR(read(s[0], buf, 10), ECONNRESET);
		_exit(0);
	}
	sleep_ms(50);
	reset(s[1]);
	REAP_OK(pid);
}

TEST(linger_waits)
{
	int s[2];
	struct linger soft = {1, 10};
	pair(s);
	set(s[0], SOL_SOCKET, SO_SNDBUF, 1 << 20);
	nonblock(s[0]);
	while (write(s[0], buf, sizeof buf) > 0)
		;
	EQ(errno, EAGAIN);
	int queued;
	OK(ioctl(s[0], SIOCOUTQ, &queued));
	CHECK(queued > 0);
	OK(fcntl(s[0], F_SETFL, O_RDWR));
	OK(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &soft, sizeof soft));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(close(s[0]));
		sleep_ms(250);
		while (read(s[1], buf, sizeof buf) > 0)
			;
		_exit(0);
	}
	OK(close(s[1]));
	sleep_ms(100);
	int64_t began = now_ns();
	OK(close(s[0]));
	int64_t took = now_ns() - began;
	CHECK(took > 50000000 && took < 5000000000);
	REAP_OK(pid);
}

TEST(peek_waitall_trunc)
{
	int s[2], n;
	pair(s);
	EQ(write(s[0], "abcdef", 6), 6);
	BITS(s[1], READABLE | WRITABLE);
	EQ(recv(s[1], buf, 3, MSG_PEEK), 3);
	EQ(memcmp(buf, "abc", 3), 0);
	OK(ioctl(s[1], FIONREAD, &n));
	EQ(n, 6);
	EQ(recv(s[1], buf, 2, 0), 2);
	EQ(recv(s[1], buf, 100, MSG_DONTWAIT | MSG_WAITALL), 4);
	ERR(recv(s[1], buf, 100, MSG_DONTWAIT), EAGAIN);
	ERR(recv(s[1], buf, 0, MSG_DONTWAIT), EAGAIN);
	EQ(read(s[1], buf, 0), 0);
	EQ(write(s[0], "0123456789", 10), 10);
	BITS(s[1], READABLE | WRITABLE);
	memset(buf, 'x', 4);
	EQ(recv(s[1], buf, 4, MSG_TRUNC), 4); /* thrown away, not copied */
	EQ(memcmp(buf, "xxxx", 4), 0);
	EQ(recv(s[1], buf, 4, 0), 4);
	EQ(memcmp(buf, "4567", 4), 0);
	EQ(recv(s[1], NULL, 2, MSG_TRUNC), 2);
	pid_t pid = OK(fork());
	if (!pid) {
		sleep_ms(30);
		EQ(write(s[0], "one", 3), 3);
		sleep_ms(30);
		EQ(write(s[0], "two", 3), 3);
		_exit(0);
	}
	EQ(recv(s[1], buf, 6, MSG_PEEK | MSG_WAITALL), 6);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 6);
	EQ(memcmp(buf, "onetwo", 6), 0);
	REAP_OK(pid);
	struct timeval tv = {0, 50000};
	OK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	ERR(recv(s[1], buf, 6, 0), EAGAIN);
	EQ(write(s[0], "abc", 3), 3);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 3);
	EQ(write(s[0], "abc", 3), 3);
	OK(shutdown(s[0], SHUT_WR));
	EQ(recv(s[1], buf, 6, MSG_PEEK | MSG_WAITALL), 3);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 3);
}

static volatile sig_atomic_t urgent;
static void on_urgent(int sig)
{
	(void)sig;
	urgent++;
}

TEST(urgent_data)
{
	int s[2], n;
	pair(s);
	ERR(recv(s[1], buf, 1, MSG_OOB), EINVAL);
	handle(SIGURG, on_urgent, SA_RESTART);
	OK(fcntl(s[1], F_SETOWN, getpid()));
	EQ(send(s[0], "abcU", 4, MSG_OOB), 4);
	BITS(s[1], READABLE | WRITABLE | POLLPRI);
	for (int i = 0; i < 100 && !urgent; i++)
		sleep_ms(5);
	EQ(urgent, 1);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 0);
	EQ(recv(s[1], buf, 10, MSG_OOB | MSG_PEEK), 1);
	EQ(buf[0], 'U');
	EQ(recv(s[1], buf, 10, MSG_OOB), 1);
	ERR(recv(s[1], buf, 10, MSG_OOB), EINVAL);
	EQ(bits(s[1]), READABLE | WRITABLE);
	EQ(write(s[0], "def", 3), 3);
	sleep_ms(20);
	EQ(recv(s[1], buf, 10, 0), 3);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 1);
	EQ(recv(s[1], buf, 10, 0), 3);
	EQ(memcmp(buf, "def", 3), 0);
	set(s[1], SOL_SOCKET, SO_OOBINLINE, 1);
	EQ(send(s[0], "xyZ", 3, MSG_OOB), 3);
	sleep_ms(20);
	ERR(recv(s[1], buf, 10, MSG_OOB), EINVAL);
	EQ(recv(s[1], buf, 10, 0), 2);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 1);
	EQ(recv(s[1], buf, 10, 0), 1);
	EQ(buf[0], 'Z');
}

TEST(poll_bits)
{
	int port, l = listener(&port, 5), s = tcp();
	EQ(bits(tcp()), WRITABLE | POLLHUP);
	EQ(bits(l), 0);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	BITS(l, READABLE);
	EQ(bits(s), WRITABLE);
	int c = OK(accept(l, NULL, NULL));
	EQ(bits(c), WRITABLE);
	nonblock(s);
	while (write(s, buf, 65536) > 0)
		;
	EQ(errno, EAGAIN);
	EQ(bits(s), 0);
	while (recv(c, buf, sizeof buf, MSG_DONTWAIT) > 0)
		sleep_ms(1);
	BITS(s, WRITABLE);
	set(c, SOL_SOCKET, SO_RCVLOWAT, 5);
	EQ(write(s, "1234", 4), 4);
	sleep_ms(20);
	EQ(bits(c), WRITABLE);
	EQ(write(s, "5", 1), 1);
	BITS(c, READABLE | WRITABLE);
}

TEST(epoll_edges)
{
	int s[2], e = OK(epoll_create1(0));
	struct epoll_event ev = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = 7}};
	pair(s);
	OK(epoll_ctl(e, EPOLL_CTL_ADD, s[1], &ev));
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLOUT);
	EQ(epoll_wait(e, &ev, 1, 0), 0);
	EQ(write(s[0], "a", 1), 1);
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLIN | EPOLLOUT);
	EQ(epoll_wait(e, &ev, 1, 20), 0);
	EQ(write(s[0], "b", 1), 1);
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(recv(s[1], buf, 10, 0), 2);
	OK(shutdown(s[0], SHUT_WR));
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

TEST(addresses_in_use)
{
	int a = tcp(), b = tcp();
	OK(BIND(a, v4("127.0.0.1", 0)));
	int port = port_of(a);
	ERR(BIND(b, v4("127.0.0.1", port)), EADDRINUSE);
	ERR(BIND(b, v4("0.0.0.0", port)), EADDRINUSE);
	OK(BIND(b, v4("127.0.0.2", port)));
	b = tcp();
	set(a, SOL_SOCKET, SO_REUSEADDR, 1);
	set(b, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(BIND(b, v4("127.0.0.1", port)));
	OK(listen(a, 1));
	ERR(listen(b, 1), EADDRINUSE);
	b = tcp();
	set(b, SOL_SOCKET, SO_REUSEADDR, 1);
	ERR(BIND(b, v4("127.0.0.1", port)), EADDRINUSE);
	OK(BIND(tcp6(), v6("::1", port)));
	b = tcp6();
	ERR(BIND(b, v6("::", port)), EADDRINUSE);
	set(b, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	ERR(BIND(b, v6("::", port)), EADDRINUSE); /* ::1 has it */
}

TEST(reuse_port)
{
	int a = tcp(), b = tcp(), seen[2] = {0, 0};
	set(a, SOL_SOCKET, SO_REUSEPORT, 1);
	OK(BIND(a, v4("127.0.0.1", 0)));
	int port = port_of(a);
	ERR(BIND(b, v4("127.0.0.1", port)), EADDRINUSE);
	set(b, SOL_SOCKET, SO_REUSEPORT, 1);
	OK(BIND(b, v4("127.0.0.1", port)));
	OK(listen(a, 100));
	OK(listen(b, 100));
	for (int i = 0; i < 50; i++)
		OK(CONNECT(tcp(), v4("127.0.0.1", port)));
	sleep_ms(50);
	nonblock(a);
	nonblock(b);
	while (accept(a, NULL, NULL) >= 0)
		seen[0]++;
	while (accept(b, NULL, NULL) >= 0)
		seen[1]++;
	EQ(seen[0] + seen[1], 50);
	CHECK(seen[0] > 0 && seen[1] > 0);
}

TEST(time_wait_keeps_the_port)
{
	int port, l = listener(&port, 5), s = tcp();
	set(l, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	int c = OK(accept(l, NULL, NULL));
	OK(close(l));
	OK(close(c));
	sleep_ms(20);
	OK(close(s));
	sleep_ms(20);
	l = tcp();
	ERR(BIND(l, v4("127.0.0.1", port)), EADDRINUSE);
	set(l, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(BIND(l, v4("127.0.0.1", port)));
	OK(listen(l, 1));
	s = tcp();
	OK(CONNECT(s, v4("127.0.0.1", port)));
}

TEST(v6_and_mapped)
{
	struct sockaddr_in6 a;
	socklen_t n = sizeof a;
	int l = tcp6(), s = tcp6();
	OK(BIND(l, v6("::", 0)));
	OK(listen(l, 5));
	int port = port_of(l);
	OK(CONNECT(s, v6("::1", port)));
	int c = OK(accept(l, (struct sockaddr *)&a, &n));
	EQ(n, 28);
	CHECK(IN6_IS_ADDR_LOOPBACK(&a.sin6_addr));
	s = tcp();
	OK(CONNECT(s, v4("127.0.0.1", port)));
	n = sizeof a;
	c = OK(accept(l, (struct sockaddr *)&a, &n));
	EQ(n, 28);
	CHECK(IN6_IS_ADDR_V4MAPPED(&a.sin6_addr));
	EQ(a.sin6_addr.s6_addr[12], 127);
	n = sizeof a;
	OK(getsockname(c, (struct sockaddr *)&a, &n));
	CHECK(IN6_IS_ADDR_V4MAPPED(&a.sin6_addr));
	EQ(write(s, "x", 1), 1);
	EQ(read(c, buf, 1), 1);
	s = tcp6();
	OK(CONNECT(s, v6("::ffff:127.0.0.1", port)));
	n = sizeof a;
	OK(getsockname(s, (struct sockaddr *)&a, &n));
	CHECK(IN6_IS_ADDR_V4MAPPED(&a.sin6_addr));
	s = tcp6();
	set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	EQ(get(s, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	ERR(CONNECT(s, v6("::ffff:127.0.0.1", port)), ENETUNREACH);
	ERR(BIND(s, v6("::ffff:127.0.0.1", 0)), EINVAL);
	s = tcp6();
	OK(CONNECT(s, v6("::", port)));
	s = tcp();
	OK(CONNECT(s, v4("0.0.0.0", port)));
	l = tcp6();
	set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	OK(BIND(l, v6("::", 0)));
	ERR(setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &n, 4), EINVAL);
	OK(listen(l, 5));
	ERR(CONNECT(tcp(), v4("127.0.0.1", port_of(l))), ECONNREFUSED);
	OK(BIND(tcp(), v4("0.0.0.0", port_of(l))));
	l = tcp6();
	OK(BIND(l, v6("::ffff:127.0.0.1", 0)));
	OK(listen(l, 5));
	OK(CONNECT(tcp(), v4("127.0.0.1", port_of(l))));
	ERR(CONNECT(tcp6(), v6("::1", port_of(l))), ECONNREFUSED);
}

TEST(self_connect)
{
	int s = tcp();
	OK(BIND(s, v4("127.0.0.1", 0)));
	OK(CONNECT(s, v4("127.0.0.1", port_of(s))));
	EQ(write(s, "me", 2), 2);
	EQ(read(s, buf, 10), 2);
	OK(shutdown(s, SHUT_WR));
	EQ(read(s, buf, 10), 0);
}

TEST(disconnect_by_unspec)
{
	int port, l = listener(&port, 5), s = tcp();
	struct sockaddr a = {.sa_family = AF_UNSPEC};
	struct sockaddr_in b;
	socklen_t n = sizeof b;
	OK(CONNECT(s, v4("127.0.0.1", port)));
	int c = OK(accept(l, NULL, NULL));
	OK(connect(s, &a, sizeof a));
	ERR(getpeername(s, (struct sockaddr *)&b, &n), ENOTCONN);
	ERR(read(c, buf, 1), ECONNRESET);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	c = OK(accept(l, NULL, NULL));
	EQ(write(s, "again", 5), 5);
	EQ(read(c, buf, 10), 5);
	OK(connect(l, &a, sizeof a));
	ERR(accept(l, NULL, NULL), EINVAL);
}

TEST(message_calls)
{
	int s[2];
	pair(s);
	struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buf, 1}, {buf + 10, 10}};
	struct sockaddr_in from = v4("127.0.0.1", 9);
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 3};
	EQ(sendmsg(s[0], &m, 0), 5);
	sleep_ms(10);
	m = (struct msghdr){.msg_iov = in, .msg_iovlen = 2, .msg_name = &from, .msg_namelen = sizeof from};
	EQ(recvmsg(s[1], &m, 0), 5);
	EQ(m.msg_namelen, 0);
	EQ(m.msg_flags, 0);
	EQ(buf[0], 'a');
	EQ(memcmp(buf + 10, "bcde", 4), 0);
	EQ(sendto(s[0], "x", 1, 0, (struct sockaddr *)&from, sizeof from), 1); /* the address is ignored */
	EQ(readv(s[1], in, 2), 1);
	EQ(writev(s[0], out, 3), 5);
	EQ(recv(s[1], buf, 5, MSG_WAITALL), 5);
	ERR(send(s[0], BAD, 5, 0), EFAULT);
	EQ(write(s[0], "keep", 4), 4);
	sleep_ms(10);
	ERR(recv(s[1], BAD, 4, 0), EFAULT);
	EQ(recv(s[1], buf, 10, 0), 4);
	ERR(recv(s[1], buf, 10, MSG_ERRQUEUE), EAGAIN);
	ERR(lseek(s[0], 0, SEEK_SET), ESPIPE);
	ERR(pread(s[0], buf, 1, 0), ESPIPE);
}

TEST(sendfile_and_splice)
{
	int s[2], p[2];
	pair(s);
	make_file("f", "from a file");
	int f = OK(open("f", O_RDONLY));
	EQ(sendfile(s[0], f, NULL, 100), 11);
	EQ(recv(s[1], buf, 11, MSG_WAITALL), 11);
	EQ(memcmp(buf, "from a file", 11), 0);
	OK(pipe(p));
	EQ(write(p[1], "piped", 5), 5);
	EQ(splice(p[0], NULL, s[0], NULL, 100, 0), 5);
	sleep_ms(10);
	EQ(splice(s[1], NULL, p[1], NULL, 100, 0), 5);
	EQ(read(p[0], buf, 100), 5);
	EQ(memcmp(buf, "piped", 5), 0);
}

static unsigned mix(unsigned long i)
{
	return (unsigned)((i * 2654435761u) >> 7);
}

/* `total` bytes each way at once, in pieces of any size, by two processes each: every byte is right. */
TEST(big_transfer)
{
	long total = size_arg(0, 8) << 20;
	int s[2];
	pid_t pids[4];
	pair(s);
	for (int side = 0; side < 2; side++) {
		if (!(pids[side * 2] = OK(fork()))) {
			unsigned seed = side + 1;
			for (long at = 0; at < total;) {
				long n = rand_r(&seed) % (rand_r(&seed) % 8 ? 3000 : 300000) + 1;
				if (n > total - at)
					n = total - at;
				for (long i = 0; i < n; i++)
					buf[i] = mix(at + i + side);
				EQ(write(s[side], buf, n), n);
				at += n;
			}
			OK(shutdown(s[side], SHUT_WR));
			_exit(0);
		}
		if (!(pids[side * 2 + 1] = OK(fork()))) {
			unsigned seed = side + 77;
			long at = 0, n;
			while ((n = OK(read(s[side], buf, rand_r(&seed) % (rand_r(&seed) % 8 ? 3000 : 300000) + 1))) > 0) {
				for (long i = 0; i < n; i++)
					EQ(buf[i], (char)mix(at + i + !side));
				at += n;
			}
			EQ(at, total);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		REAP_OK(pids[i]);
}

TEST(many_connections)
{
	int port, l = listener(&port, 128), count = size_arg(1, 200);
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 0; i < count; i++) {
			int s = tcp();
			OK(CONNECT(s, v4("127.0.0.1", port)));
			EQ(write(s, &i, sizeof i), sizeof i);
			EQ(read(s, buf, 10), 4);
			EQ(read(s, buf, 10), 0);
			OK(close(s));
		}
		_exit(0);
	}
	for (int i = 0; i < count; i++) {
		int n, c = OK(accept(l, NULL, NULL));
		EQ(read(c, &n, sizeof n), sizeof n);
		EQ(n, i);
		EQ(write(c, "done", 4), 4);
		OK(close(c));
	}
	REAP_OK(pid);
}

TEST(zero_copy_completions)
{
	int s[2];
	char control[128];
	struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};
	pair(s);
	set(s[0], SOL_SOCKET, SO_ZEROCOPY, 1);
	ERR(recvmsg(s[0], &m, MSG_ERRQUEUE), EAGAIN);
	for (int i = 0; i < 3; i++)
		EQ(send(s[0], buf, 10000, MSG_ZEROCOPY), 10000);
	EQ(recv(s[1], buf, 30000, MSG_WAITALL), 30000);
	for (unsigned told = 0; told < 3;) {
		struct pollfd p = {.fd = s[0]};
		EQ(poll(&p, 1, 5000), 1);
		EQ(p.revents, POLLERR);
		m.msg_controllen = sizeof control;
		EQ(recvmsg(s[0], &m, MSG_ERRQUEUE), 0);
		CHECK(m.msg_flags & MSG_ERRQUEUE);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		CHECK(c && c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR);
		struct sock_extended_err e;
		memcpy(&e, CMSG_DATA(c), sizeof e);
		EQ(e.ee_errno, 0);
		EQ(e.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
		EQ(e.ee_info, told);
		CHECK(e.ee_data >= told);
		told = e.ee_data + 1;
	}
	EQ(bits(s[0]), WRITABLE);
}

TEST(what_is_left_is_told)
{
	int s[2], left;
	char control[128];
	struct iovec in = {buf, 4};
	struct msghdr m = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	pair(s);
	set(s[1], IPPROTO_TCP, TCP_INQ, 1);
	EQ(write(s[0], "0123456789", 10), 10);
	sleep_ms(20);
	EQ(recvmsg(s[1], &m, 0), 4);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ);
	memcpy(&left, CMSG_DATA(c), sizeof left);
	EQ(left, 6);
}

TEST(splice_much)
{
	int s[2], p[2], total = 600000, moved = 0;
	pair(s);
	int f = OK(open("much", O_RDWR | O_CREAT, 0600));
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 0; i < total; i++)
			buf[i] = mix(i);
		EQ(write(s[0], buf, total), total);
		_exit(0);
	}
	while (moved < total) {
		int n = OK(splice(s[1], NULL, p[1], NULL, 50000, 0));
		CHECK(n > 0);
		for (int out = 0; out < n;)
			out += OK(splice(p[0], NULL, f, NULL, n - out, 0));
		moved += n;
	}
	EQ(pread(f, buf, total, 0), total);
	for (int i = 0; i < total; i++)
		EQ(buf[i], (char)mix(i));
	REAP_OK(pid);
	off_t at = 1000;
	EQ(sendfile(s[1], f, &at, 300000), 300000);
	EQ(at, 301000);
	EQ(recv(s[0], buf, 300000, MSG_WAITALL), 300000);
	EQ(buf[0], (char)mix(1000));
	EQ(buf[299999], (char)mix(300999));
}
