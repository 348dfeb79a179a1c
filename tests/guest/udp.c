/* udp(7), ip(7), ipv6(7): datagrams on the loopback, names, options, control messages, errors. */
#include "udp.h"

TEST(there_and_back)
{
	const char *hosts[] = {"127.0.0.1", "::1", "127.9.8.7"};
	own_net();
	for (int i = 0; i < 3; i++) {
		char buf[16];
		union address from;
		int a = udp_at(hosts[i]), b = udp_at(hosts[i]);
		EQ(send_to(a, "ping", 4, hosts[i], port_of(b)), 4);
		EQ(next(b, buf, sizeof buf, &from), 4);
		STR(text(from), local_of(a));
		EQ(sendto(b, "pong!", 5, 0, &from.sa, len_of(from)), 5);
		gets_text(a, "pong!");
		gets_nothing(a);
		EQ(send_to(a, "", 0, hosts[i], port_of(b)), 0); /* a datagram too */
		EQ(poll_now(b, POLLIN, 1000), POLLIN);
		EQ(read(b, buf, sizeof buf), 0);
		gets_nothing(b);
		close(a);
		close(b);
	}
}

TEST(names)
{
	own_net();
	int s = udp(AF_INET), t;
	STR(local_of(s), "0.0.0.0:0");
	union address a;
	socklen_t n = sizeof a;
	ERR(getpeername(s, &a.sa, &n), ENOTCONN);
	OK(bind_to(s, "0.0.0.0", 0));
	CHECK(port_of(s) >= 1024);
	ERR(bind_to(s, "127.0.0.1", 0), EINVAL);
	t = udp(AF_INET);
	ERR(bind_to(t, "127.0.0.1", port_of(s)), EADDRINUSE);
	ERR(bind_to(t, "192.0.2.1", 0), EADDRNOTAVAIL);
	a = in4("127.0.0.1", 0);
	ERR(bind(t, &a.sa, sizeof a.in - 1), EINVAL);
	ERR(bind(t, &a.sa, 1), EINVAL);
	a.sa.sa_family = AF_UNIX;
	ERR(bind(t, &a.sa, sizeof a.in), EAFNOSUPPORT);
	a = in4("0.0.0.0", 0);
	a.sa.sa_family = AF_UNSPEC; /* for the wildcard address, as ever */
	OK(bind(t, &a.sa, sizeof a.in));
	close(t);
	t = udp(AF_INET6);
	a = in4("127.0.0.1", 0);
	ERR(bind(t, &a.sa, sizeof a.in), EINVAL);
	a.ss = (struct sockaddr_storage){.ss_family = AF_INET};
	ERR(bind(t, &a.sa, sizeof a.in6), EAFNOSUPPORT);
	ERR(bind_to(t, "2001:db8::1", 0), EADDRNOTAVAIL);
	ERR(bind_to(t, "fe80::1", 0), EINVAL); /* of which link? */
	ERR(bind_to(t, "::", port_of(s)), EADDRINUSE); /* dual */
	set(t, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	OK(bind_to(t, "::", port_of(s)));
	ERR(setsockopt(t, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, 4), EINVAL);
	ERR(listen(t, 1), EOPNOTSUPP);
	ERR(accept(t, NULL, NULL), EOPNOTSUPP);
	EQ(get(t, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
	EQ(get(t, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	EQ(get(t, SOL_SOCKET, SO_DOMAIN), AF_INET6);
}

TEST(connected)
{
	own_net();
	int a = udp_at("127.0.0.1"), b = udp_at("0.0.0.0"), c = udp_at("127.0.0.1"), port = port_of(b);
	char buf[8];
	OK(connect_to(a, "127.0.0.1", port));
	STR(peer_of(a), text(in4("127.0.0.1", port)));
	OK(connect_to(b, "127.0.0.1", port_of(a)));
	STR(local_of(b), text(in4("127.0.0.1", port))); /* connect chooses the address */
	EQ(send(a, "one", 3, 0), 3);
	EQ(write(a, "two", 3), 3);
	gets_text(b, "one");
	gets_text(b, "two");
	EQ(send_to(c, "stranger", 8, "127.0.0.1", port), 8);
	gets_nothing(b);
	EQ(send_to(b, "elsewhere", 9, "127.0.0.1", port_of(c)), 9); /* a connected socket may */
	gets_text(c, "elsewhere");
	ERR(send(c, "x", 1, 0), EDESTADDRREQ);
	ERR(write(c, "x", 1), EDESTADDRREQ);
	ERR(send_to(c, "x", 1, "127.0.0.1", 0), EINVAL);
	union address none = {.sa.sa_family = AF_UNSPEC};
	OK(connect(b, &none.sa, sizeof none.sa));
	STR(local_of(b), "0.0.0.0:0"); /* the port goes as well: nobody had asked for that one */
	ERR(send(b, "x", 1, 0), EDESTADDRREQ);
	CHECK(port_of(b) > 0); /* an unbound socket that sends gets one */
	port = port_of(b);
	EQ(send_to(c, "friend", 6, "127.0.0.1", port), 6);
	gets_text(b, "friend");
	int d = udp(AF_INET);
	OK(connect_to(d, "127.0.0.1", port));
	CHECK(port_of(d));
	OK(connect(d, &none.sa, sizeof none.sa)); /* a port that nobody asked for goes again */
	STR(local_of(d), "0.0.0.0:0");
	OK(connect_to(d, "0.0.0.0", port)); /* this host */
	STR(peer_of(d), text(in4("127.0.0.1", port)));
	ERR(connect_to(d, "192.0.2.1", 9), ENETUNREACH);
	d = udp(AF_INET);
	ERR(connect_to(d, "192.0.2.1", 9), ENETUNREACH);
	ERR(send_to(d, "x", 1, "192.0.2.1", 9), ENETUNREACH);
	ERR(connect(d, &none.sa, 1), EINVAL);
	d = udp(AF_INET6);
	OK(connect_to(d, "::", port));
	STR(peer_of(d), text(in6("::1", port)));
	ERR(recv(d, buf, 8, MSG_DONTWAIT), EAGAIN);
}

TEST(connected_is_heard_first)
{
	own_net();
	int any = udp(AF_INET), bound = udp(AF_INET), joined = udp(AF_INET), peer = udp_at("127.0.0.1"), one = 1;
	int all[] = {any, bound, joined};
	for (int i = 0; i < 3; i++)
		OK(setsockopt(all[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	OK(bind_to(any, "0.0.0.0", 0));
	int port = port_of(any);
	OK(bind_to(bound, "127.0.0.1", port));
	OK(bind_to(joined, "127.0.0.1", port));
	OK(connect_to(joined, "127.0.0.1", port_of(peer)));
	EQ(send_to(peer, "joined", 6, "127.0.0.1", port), 6);
	gets_text(joined, "joined");
	int other = udp_at("127.0.0.1");
	EQ(send_to(other, "bound", 5, "127.0.0.1", port), 5);
	gets_text(bound, "bound");
	EQ(send_to(other, "any", 3, "127.0.0.2", port), 3);
	gets_text(any, "any");
	close(joined);
	close(bound);
	EQ(send_to(peer, "rest", 4, "127.0.0.1", port), 4);
	gets_text(any, "rest");
	int later = udp(AF_INET); /* of equals, the last one bound */
	set(later, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(bind_to(later, "0.0.0.0", port));
	EQ(send_to(peer, "later", 5, "127.0.0.1", port), 5);
	gets_text(later, "later");
	gets_nothing(any);
}

TEST(dual_stack)
{
	own_net();
	int six = udp_at("::"), four = udp_at("127.0.0.1"), port = port_of(six);
	char buf[16];
	union address from;
	EQ(send_to(four, "four", 4, "127.0.0.1", port), 4);
	EQ(next(six, buf, sizeof buf, &from), 4);
	STR(text(from), text(in6("::ffff:127.0.0.1", port_of(four))));
	EQ(sendto(six, "back", 4, 0, &from.sa, len_of(from)), 4);
	EQ(next(four, buf, sizeof buf, &from), 4);
	STR(text(from), text(in4("127.0.0.1", port)));
	union address to = in4("127.0.0.1", port_of(four)); /* a sockaddr_in will do for an IPv6 socket */
	EQ(sendto(six, "plain", 5, 0, &to.sa, sizeof to.in), 5);
	gets_text(four, "plain");
	int only = udp(AF_INET6);
	set(only, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	EQ(get(only, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	ERR(send_to(only, "x", 1, "::ffff:127.0.0.1", port), ENETUNREACH);
	ERR(bind_to(only, "::ffff:127.0.0.1", 0), EINVAL);
	ERR(connect_to(only, "::ffff:127.0.0.1", port), ENETUNREACH);
	int mapped = udp(AF_INET6);
	OK(bind_to(mapped, "::ffff:127.0.0.1", 0));
	STR(local_of(mapped), text(in6("::ffff:127.0.0.1", port_of(mapped))));
	ERR(send_to(mapped, "x", 1, "::1", port), EAFNOSUPPORT);
	ERR(connect_to(mapped, "::1", port), EAFNOSUPPORT);
	int own6 = udp_at("::1");
	ERR(send_to(own6, "x", 1, "::ffff:127.0.0.1", port), ENETUNREACH);
	ERR(connect_to(own6, "::ffff:127.0.0.1", port), ENETUNREACH);
	EQ(send_to(mapped, "mapped", 6, "::ffff:127.0.0.1", port), 6);
	gets_text(six, "mapped");
	int joined = udp(AF_INET6);
	OK(connect_to(joined, "::ffff:127.0.0.1", port_of(four)));
	STR(peer_of(joined), text(in6("::ffff:127.0.0.1", port_of(four))));
	STR(local_of(joined), text(in6("::ffff:127.0.0.1", port_of(joined))));
	EQ(send(joined, "joined", 6, 0), 6);
	gets_text(four, "joined");
	/* an IPv4 socket is heard before a dual one */
	int rival = udp(AF_INET6), own = udp(AF_INET);
	set(own, SOL_SOCKET, SO_REUSEADDR, 1);
	set(rival, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(bind_to(own, "0.0.0.0", 0));
	OK(bind_to(rival, "::", port_of(own)));
	EQ(send_to(four, "own", 3, "127.0.0.1", port_of(own)), 3);
	gets_text(own, "own");
}

TEST(refused)
{
	const char *hosts[] = {"127.0.0.1", "::1"};
	own_net();
	for (int i = 0; i < 2; i++) {
		char buf[8];
		int s = udp_at(hosts[i]), gone = udp_at(hosts[i]), port = port_of(gone);
		close(gone);
		EQ(send_to(s, "x", 1, hosts[i], port), 1); /* nobody is told when there is no peer */
		gets_nothing(s);
		OK(connect_to(s, hosts[i], port));
		EQ(send(s, "x", 1, 0), 1);
		EQ(poll_now(s, POLLIN | POLLOUT, 1000) & POLLERR, POLLERR);
		ERR(recv(s, buf, 8, 0), ECONNREFUSED);
		ERR(recv(s, buf, 8, MSG_DONTWAIT), EAGAIN); /* once */
		EQ(send(s, "x", 1, 0), 1);
		sleep_ms(20);
		ERR(send(s, "x", 1, 0), ECONNREFUSED);
		EQ(send(s, "x", 1, 0), 1);
		sleep_ms(20);
		EQ(get(s, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
		EQ(get(s, SOL_SOCKET, SO_ERROR), 0);
		EQ(poll_now(s, POLLIN | POLLOUT, 0), POLLOUT);
		IN_CHILD {
			if (fork() == 0) {
				sleep_ms(100);
				send(s, "x", 1, 0);
				_exit(0);
			}
			ERR(recv(s, buf, 8, 0), ECONNREFUSED); /* and whoever waits is woken */
		}
		close(s);
	}
}

TEST(error_queue)
{
	const char *hosts[] = {"127.0.0.1", "::1"};
	own_net();
	for (int i = 0; i < 2; i++) {
		int level = i ? IPPROTO_IPV6 : IPPROTO_IP, name = i ? IPV6_RECVERR : IP_RECVERR;
		int s = udp_at(hosts[i]), gone = udp_at(hosts[i]), port = port_of(gone);
		struct received r;
		close(gone);
		ERR(receive_msg(s, &r, MSG_ERRQUEUE), EAGAIN);
		set(s, level, name, 1);
		EQ(get(s, level, name), 1);
		EQ(send_to(s, "first", 5, hosts[i], port), 5); /* not connected, and still told */
		EQ(poll_now(s, 0, 1000), POLLERR);
		EQ(receive_msg(s, &r, MSG_ERRQUEUE), 5);
		EQ(r.msg.msg_flags & (MSG_ERRQUEUE | MSG_TRUNC), MSG_ERRQUEUE);
		EQ(memcmp(r.data, "first", 5), 0);
		STR(text(r.name), text(addr(hosts[i], port)));
		struct sock_extended_err *e = control(&r, level, name, 0);
		CHECK(e);
		EQ(e->ee_errno, ECONNREFUSED);
		EQ(e->ee_origin, i ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP);
		EQ(e->ee_type, i ? 1 : 3);
		EQ(e->ee_code, i ? 4 : 3);
		EQ(e->ee_info, 0);
		union address offender = {0};
		memcpy(&offender, SO_EE_OFFENDER(e), i ? sizeof offender.in6 : sizeof offender.in);
		STR(text(offender), text(addr(hosts[i], 0)));
		EQ(poll_now(s, POLLIN, 0), 0); /* SO_ERROR went with it */
		ERR(receive_msg(s, &r, MSG_ERRQUEUE), EAGAIN);
		EQ(send_to(s, "again", 5, hosts[i], port), 5);
		sleep_ms(20);
		ERR(recv(s, r.data, 8, MSG_DONTWAIT), ECONNREFUSED); /* a receive reports it, and leaves the queue */
		EQ(receive_msg(s, &r, MSG_ERRQUEUE), 5);
		/* what is too long for the path is an error of our own */
		static char big[65536];
		set(s, level, i ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, i ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO);
		ERR(send_to(s, big, i ? 65489 : 65508, hosts[i], port), EMSGSIZE);
		EQ(receive_msg(s, &r, MSG_ERRQUEUE), 0);
		e = control(&r, level, name, 0);
		EQ(e->ee_errno, EMSGSIZE);
		EQ(e->ee_origin, SO_EE_ORIGIN_LOCAL);
		EQ(e->ee_type, 0);
		EQ(e->ee_info, i ? 65536 : 65535);
		STR(text(r.name), text(addr(hosts[i], i ? port : 0))); /* IPv4 names the peer's port, and there is none */
		close(s);
	}
}

TEST(how_big)
{
	own_net();
	static char big[70000], in[70000];
	int a = udp_at("127.0.0.1"), b = udp_at("127.0.0.1"), port = port_of(b), n;
	for (int i = 0; i < 70000; i++)
		big[i] = i * 7 + i / 251;
	EQ(send_to(a, big, 65507, "127.0.0.1", port), 65507);
	OK(ioctl(b, FIONREAD, &n));
	EQ(n, 65507);
	EQ(next(b, in, sizeof in, NULL), 65507);
	EQ(memcmp(big, in, 65507), 0);
	ERR(send_to(a, big, 65508, "127.0.0.1", port), EMSGSIZE);
	ERR(send_to(a, big, 70000, "127.0.0.1", port), EMSGSIZE);
	int c = udp_at("::1"), d = udp_at("::1");
	EQ(send_to(c, big, 65527, "::1", port_of(d)), 65527); /* in fragments, beyond the MTU of lo */
	EQ(next(d, in, sizeof in, NULL), 65527);
	EQ(memcmp(big, in, 65527), 0);
	ERR(send_to(c, big, 65528, "::1", port_of(d)), EMSGSIZE);
	set(c, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
	ERR(send_to(c, big, 65527, "::1", port_of(d)), EMSGSIZE);
	EQ(send_to(c, big, 65488, "::1", port_of(d)), 65488);
	OK(ioctl(a, FIONREAD, &n));
	EQ(n, 0);
	OK(ioctl(a, TIOCOUTQ, &n));
	EQ(n, 0);
}

TEST(peek_and_truncate)
{
	own_net();
	int a = udp_at("127.0.0.1"), b = udp_at("127.0.0.1"), port = port_of(b);
	char buf[16] = "";
	struct received r;
	EQ(send_to(a, "0123456789", 10, "127.0.0.1", port), 10);
	EQ(send_to(a, "second", 6, "127.0.0.1", port), 6);
	EQ(poll_now(b, POLLIN, 1000), POLLIN);
	EQ(recv(b, buf, 4, MSG_PEEK), 4);
	EQ(recv(b, buf, 4, MSG_PEEK | MSG_TRUNC), 10);
	r.iov = (struct iovec){r.data, 4};
	r.msg = (struct msghdr){.msg_iov = &r.iov, .msg_iovlen = 1};
	EQ(recvmsg(b, &r.msg, MSG_PEEK), 4);
	EQ(r.msg.msg_flags, MSG_TRUNC);
	EQ(recv(b, NULL, 0, MSG_PEEK | MSG_TRUNC), 10);
	EQ(recv(b, buf, 4, MSG_TRUNC), 10);
	EQ(memcmp(buf, "0123", 4), 0);
	gets_text(b, "second"); /* the rest of the first is gone */
	EQ(send_to(a, "0123456789", 10, "127.0.0.1", port), 10);
	EQ(next(b, buf, 0, NULL), 0);
	gets_nothing(b);
	EQ(send_to(a, "xyz", 3, "127.0.0.1", port), 3);
	EQ(poll_now(b, POLLIN, 1000), POLLIN);
	ERR(recv(b, BAD, 3, 0), EFAULT);
	gets_text(b, "xyz");
	EQ(send_to(a, "0123456789", 10, "127.0.0.1", port), 10);
	EQ(recv(b, buf, 16, MSG_WAITALL), 10); /* one datagram, whole or not */
	EQ(recv(b, buf, 16, MSG_DONTWAIT | MSG_OOB), -1);
	ERR(sendto(a, "x", 1, MSG_OOB, NULL, 0), EOPNOTSUPP);
	struct iovec parts[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
	OK(connect_to(a, "127.0.0.1", port));
	EQ(writev(a, parts, 3), 5);
	gets_text(b, "abcde");
}

TEST(shut_down)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp_at("127.0.0.1");
	char buf[8];
	OK(connect_to(s, "127.0.0.1", port_of(t)));
	OK(connect_to(t, "127.0.0.1", port_of(s)));
	EQ(send(t, "kept", 4, 0), 4);
	OK(shutdown(s, SHUT_RD));
	EQ(poll_now(s, POLLIN | POLLRDHUP | POLLOUT, 0), POLLIN | POLLRDHUP | POLLOUT);
	EQ(recv(s, buf, 8, 0), 4);
	EQ(recv(s, buf, 8, 0), 0);
	ERR(recv(s, buf, 8, MSG_DONTWAIT), EAGAIN);
	EQ(send(t, "more", 4, 0), 4); /* still comes in */
	EQ(recv(s, buf, 8, 0), 4);
	OK(shutdown(s, SHUT_WR));
	ERR(send(s, "x", 1, 0), EPIPE);
	EQ(poll_now(s, POLLIN | POLLOUT, 0), POLLIN | POLLOUT | POLLHUP);
	ERR(shutdown(s, 3), EINVAL);
	int u = udp_at("127.0.0.1");
	IN_CHILD {
		if (fork() == 0) {
			sleep_ms(100);
			shutdown(u, SHUT_RDWR);
			_exit(0);
		}
		EQ(recv(u, buf, 8, 0), 0); /* whoever waits is woken */
	}
	ERR(shutdown(u, SHUT_RDWR), ENOTCONN);
}

TEST(broadcast)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp(AF_INET), u = udp(AF_INET);
	set(t, SOL_SOCKET, SO_REUSEADDR, 1);
	set(u, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(bind_to(t, "0.0.0.0", 0));
	OK(bind_to(u, "127.255.255.255", port_of(t)));
	ERR(send_to(s, "x", 1, "127.255.255.255", port_of(t)), EACCES);
	ERR(send_to(s, "x", 1, "255.255.255.255", 9), EACCES);
	ERR(connect_to(s, "127.255.255.255", 9), EACCES);
	set(s, SOL_SOCKET, SO_BROADCAST, 1);
	EQ(get(s, SOL_SOCKET, SO_BROADCAST), 1);
	EQ(send_to(s, "all", 3, "127.255.255.255", port_of(t)), 3);
	gets_text(t, "all"); /* each gets one */
	gets_text(u, "all");
	close(u);
	EQ(send_to(s, "nobody", 6, "127.255.255.255", 9), 6); /* and nobody is told */
	gets_nothing(s);
	u = udp(AF_INET);
	OK(bind_to(u, "255.255.255.255", 0));
	CHECK(port_of(u) > 0);
}
