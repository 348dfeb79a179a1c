/* tcp(7), ip(7), ipv6(7), connect(2), accept(2), shutdown(2), bind(2): connections over the loopback, from names to the
 * end. */
#include "tcp.h"

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

TEST(no_peer_while_connecting)
{
	int port, l = listener(&port, 0);
	struct sockaddr_in6 peer;
	for (int i = 0; i < 10; i++) { /* until there is no room for more */
		int s = tcp();
		socklen_t n = sizeof peer;
		nonblock(s);
		if (CONNECT(s, v4("127.0.0.1", port)) == 0)
			continue;
		EQ(errno, EINPROGRESS);
		struct pollfd p = {s, POLLOUT, 0};
		if (poll(&p, 1, 200) == 1)
			continue;
		ERR(getpeername(s, (void *)&peer, &n), ENOTCONN);
		close(OK(accept(l, NULL, NULL)));
		p.revents = 0;
		EQ(poll(&p, 1, 5000), 1); /* the SYN is sent again */
		OK(getpeername(s, (void *)&peer, &n));
		return;
	}
	CHECK(!"a backlog that is never full");
}
