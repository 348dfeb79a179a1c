/* udp(7), ip(7), ipv6(7): datagrams on the loopback, names, options, control messages, errors. */
#include "net.h"
#include <linux/errqueue.h>
#include <netinet/udp.h>

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

TEST(reuse_port)
{
	own_net();
	enum { N = 4, SENDERS = 64 };
	int s[N], one = 1, got[N] = {0};
	for (int i = 0; i < N; i++) {
		s[i] = udp(AF_INET);
		OK(setsockopt(s[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
		OK(bind_to(s[i], "127.0.0.1", i ? port_of(s[0]) : 0));
	}
	int stranger = udp(AF_INET);
	ERR(bind_to(stranger, "127.0.0.1", port_of(s[0])), EADDRINUSE);
	for (int k = 0; k < SENDERS; k++) {
		int from = udp_at("127.0.0.1"), first = -1;
		for (int round = 0; round < 2; round++) {
			EQ(send_to(from, "x", 1, "127.0.0.1", port_of(s[0])), 1);
			int found = -1;
			for (int tries = 0; found < 0 && tries < 100; tries++) {
				char c;
				for (int i = 0; i < N; i++)
					if (recv(s[i], &c, 1, MSG_DONTWAIT) == 1)
						found = i;
				if (found < 0)
					sleep_ms(10);
			}
			CHECK(found >= 0);
			CHECK(first < 0 || found == first); /* one sender stays with one socket */
			first = found;
			got[found]++;
		}
		close(from);
	}
	for (int i = 0; i < N; i++)
		CHECK(got[i] > 0);
}

TEST(receive_buffer)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp_at("127.0.0.1"), kept = 0;
	char buf[1000] = {0};
	struct received r;
	EQ(get(t, SOL_SOCKET, SO_RCVBUF), 212992);
	set(t, SOL_SOCKET, SO_RCVBUF, 10000);
	EQ(get(t, SOL_SOCKET, SO_RCVBUF), 20000); /* doubled, socket(7) */
	set(t, SOL_SOCKET, SO_RCVBUF, 0);
	EQ(get(t, SOL_SOCKET, SO_RCVBUF), 2304);
	set(t, SOL_SOCKET, SO_RCVBUF, 10000);
	set(t, SOL_SOCKET, SO_RXQ_OVFL, 1);
	for (int i = 0; i < 100; i++)
		EQ(send_to(s, buf, sizeof buf, "127.0.0.1", port_of(t)), 1000);
	sleep_ms(50);
	while (recv(t, buf, sizeof buf, MSG_DONTWAIT) == 1000)
		kept++;
	CHECK(kept >= 5 && kept <= 20);
	EQ(send_to(s, "x", 1, "127.0.0.1", port_of(t)), 1);
	EQ(receive_msg(t, &r, 0), 1);
	unsigned *drops = control(&r, SOL_SOCKET, SO_RXQ_OVFL, 4);
	CHECK(drops);
	EQ(*drops, 100 - kept);
}

TEST(told_about_datagrams)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp_at("0.0.0.0"), port = port_of(t);
	struct received r;
	set(s, IPPROTO_IP, IP_TTL, 17);
	set(s, IPPROTO_IP, IP_TOS, 0x48);
	EQ(send_to(s, "x", 1, "127.0.0.1", port), 1);
	EQ(receive_msg(t, &r, 0), 1);
	EQ(r.msg.msg_controllen, 0);
	EQ(r.msg.msg_flags, 0);
	set(t, IPPROTO_IP, IP_PKTINFO, 1);
	set(t, IPPROTO_IP, IP_RECVTTL, 1);
	set(t, IPPROTO_IP, IP_RECVTOS, 1);
	set(t, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
	set(t, SOL_SOCKET, SO_TIMESTAMP, 1);
	EQ(send_to(s, "x", 1, "127.0.0.3", port), 1);
	EQ(receive_msg(t, &r, 0), 1);
	struct in_pktinfo *info = control(&r, IPPROTO_IP, IP_PKTINFO, sizeof *info);
	CHECK(info);
	EQ(info->ipi_ifindex, 1);
	EQ(ntohl(info->ipi_addr.s_addr), 0x7f000003);
	EQ(ntohl(info->ipi_spec_dst.s_addr), 0x7f000003);
	int *ttl = control(&r, IPPROTO_IP, IP_TTL, 4);
	CHECK(ttl);
	EQ(*ttl, 17);
	unsigned char *tos = control(&r, IPPROTO_IP, IP_TOS, 1);
	CHECK(tos);
	EQ(*tos, 0x48);
	union address went = {0};
	struct sockaddr_in *orig = control(&r, IPPROTO_IP, IP_ORIGDSTADDR, sizeof *orig);
	CHECK(orig);
	went.in = *orig;
	STR(text(went), text(in4("127.0.0.3", port)));
	struct timeval *when = control(&r, SOL_SOCKET, SO_TIMESTAMP, sizeof *when), now;
	CHECK(when);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	now.tv_sec = ts.tv_sec;
	CHECK(when->tv_sec <= now.tv_sec && when->tv_sec > now.tv_sec - 10);
	set(t, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	EQ(send_to(s, "x", 1, "127.0.0.1", port), 1);
	EQ(receive_msg(t, &r, 0), 1);
	CHECK(!control(&r, SOL_SOCKET, SO_TIMESTAMP, 0));
	CHECK(control(&r, SOL_SOCKET, SO_TIMESTAMPNS, sizeof ts));
	/* too little room for them */
	char small[CMSG_SPACE(4)];
	set(t, SOL_SOCKET, SO_TIMESTAMPNS, 0);
	EQ(send_to(s, "x", 1, "127.0.0.1", port), 1);
	EQ(poll_now(t, POLLIN, 1000), POLLIN);
	r.iov = (struct iovec){r.data, 4};
	r.msg = (struct msghdr){.msg_iov = &r.iov, .msg_iovlen = 1, .msg_control = small, .msg_controllen = 8};
	EQ(recvmsg(t, &r.msg, 0), 1);
	EQ(r.msg.msg_flags, MSG_CTRUNC);
	EQ(r.msg.msg_controllen, 0);
}

TEST(told_about_datagrams6)
{
	own_net();
	int s = udp_at("::1"), t = udp_at("::"), four = udp_at("127.0.0.1"), port = port_of(t);
	struct received r;
	set(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 23);
	set(s, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
	set(t, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set(t, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	set(t, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	EQ(send_to(s, "x", 1, "::1", port), 1);
	EQ(receive_msg(t, &r, 0), 1);
	struct in6_pktinfo *info = control(&r, IPPROTO_IPV6, IPV6_PKTINFO, sizeof *info);
	CHECK(info);
	EQ(info->ipi6_ifindex, 1);
	EQ(memcmp(&info->ipi6_addr, &in6addr_loopback, 16), 0);
	EQ(*(int *)control(&r, IPPROTO_IPV6, IPV6_HOPLIMIT, 4), 23);
	EQ(*(int *)control(&r, IPPROTO_IPV6, IPV6_TCLASS, 4), 0x28);
	EQ(send_to(four, "x", 1, "127.0.0.1", port), 1); /* IPv4 brings a mapped address */
	EQ(receive_msg(t, &r, 0), 1);
	info = control(&r, IPPROTO_IPV6, IPV6_PKTINFO, sizeof *info);
	CHECK(info);
	union address mapped = in6("::ffff:127.0.0.1", 0);
	EQ(memcmp(&info->ipi6_addr, &mapped.in6.sin6_addr, 16), 0);
	CHECK(!control(&r, IPPROTO_IPV6, IPV6_HOPLIMIT, 0));
	set(t, IPPROTO_IP, IP_RECVTTL, 1);
	EQ(send_to(four, "x", 1, "127.0.0.1", port), 1);
	EQ(receive_msg(t, &r, 0), 1);
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 64);
}

TEST(said_of_one_message)
{
	own_net();
	int s = udp(AF_INET), t = udp_at("127.0.0.1"), six = udp(AF_INET6), t6 = udp_at("::1");
	union address to = in4("127.0.0.1", port_of(t)), to6 = in6("::1", port_of(t6));
	struct received r;
	struct in_pktinfo info = {.ipi_spec_dst = in4("127.0.0.5", 0).in.sin_addr};
	EQ(send_with(s, to, "x", IPPROTO_IP, IP_PKTINFO, &info, sizeof info), 1);
	EQ(receive_msg(t, &r, 0), 1);
	STR(text(r.name), text(in4("127.0.0.5", port_of(s))));
	info.ipi_spec_dst = in4("192.0.2.1", 0).in.sin_addr;
	EQ(send_with(s, to, "x", IPPROTO_IP, IP_PKTINFO, &info, sizeof info), -1);
	CHECK(errno == EINVAL || errno == ENETUNREACH); /* by the kernel's age */
	info = (struct in_pktinfo){.ipi_ifindex = 1};
	EQ(send_with(s, to, "x", IPPROTO_IP, IP_PKTINFO, &info, sizeof info), 1);
	info.ipi_ifindex = 77;
	ERR(send_with(s, to, "x", IPPROTO_IP, IP_PKTINFO, &info, sizeof info), ENODEV);
	gets_text(t, "x");
	ERR(send_with(s, to, "x", IPPROTO_IP, IP_PKTINFO, &info, 4), EINVAL);
	set(t, IPPROTO_IP, IP_RECVTTL, 1);
	set(t, IPPROTO_IP, IP_RECVTOS, 1);
	int value = 9;
	EQ(send_with(s, to, "x", IPPROTO_IP, IP_TTL, &value, 4), 1);
	EQ(receive_msg(t, &r, 0), 1);
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 9);
	value = 0x10;
	EQ(send_with(s, to, "x", IPPROTO_IP, IP_TOS, &value, 4), 1);
	EQ(receive_msg(t, &r, 0), 1);
	EQ(*(unsigned char *)control(&r, IPPROTO_IP, IP_TOS, 1), 0x10);
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 64); /* that was one message */
	value = 0;
	ERR(send_with(s, to, "x", IPPROTO_IP, IP_TTL, &value, 4), EINVAL);
	value = 256;
	ERR(send_with(s, to, "x", IPPROTO_IP, IP_TTL, &value, 4), EINVAL);
	ERR(send_with(s, to, "x", IPPROTO_IP, 200, &value, 4), EINVAL);
	EQ(send_with(s, to, "x", IPPROTO_TCP, 200, &value, 4), 1); /* of other levels is nothing known */
	EQ(send_with(s, to, "x", SOL_SOCKET, SCM_RIGHTS, &value, 4), 1); /* nor what unix sockets know */
	ERR(send_with(s, to, "x", SOL_SOCKET, 200, &value, 4), EINVAL);
	gets_text(t, "x");
	gets_text(t, "x");
	set(t6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	set(t6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	value = 9;
	EQ(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_HOPLIMIT, &value, 4), 1);
	EQ(receive_msg(t6, &r, 0), 1);
	EQ(*(int *)control(&r, IPPROTO_IPV6, IPV6_HOPLIMIT, 4), 9);
	value = 0x44;
	EQ(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_TCLASS, &value, 4), 1);
	EQ(receive_msg(t6, &r, 0), 1);
	EQ(*(int *)control(&r, IPPROTO_IPV6, IPV6_TCLASS, 4), 0x44);
	value = 256;
	ERR(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_HOPLIMIT, &value, 4), EINVAL);
	ERR(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_TCLASS, &value, 4), EINVAL);
	struct in6_pktinfo info6 = {.ipi6_addr = in6("2001:db8::1", 0).in6.sin6_addr};
	ERR(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof info6), EINVAL);
	info6 = (struct in6_pktinfo){.ipi6_addr = in6addr_loopback, .ipi6_ifindex = 1};
	EQ(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof info6), 1);
	info6.ipi6_ifindex = 77;
	ERR(send_with(six, to6, "x", IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof info6), ENODEV);
	ERR(send_with(six, to6, "x", IPPROTO_IPV6, 200, &info6, sizeof info6), EINVAL);
}

TEST(options_read_back)
{
	own_net();
	int s = udp(AF_INET), t = udp(AF_INET6);
	EQ(get(s, IPPROTO_IP, IP_TTL), 64);
	EQ(get(s, IPPROTO_IP, IP_TOS), 0);
	EQ(get(s, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_WANT);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_TTL), 1);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_LOOP), 1);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_ALL), 1);
	EQ(get(s, IPPROTO_IP, IP_PKTINFO), 0);
	EQ(get(s, IPPROTO_IP, IP_RECVERR), 0);
	ERR(setsockopt(s, IPPROTO_IP, IP_TTL, &(int){0}, 4), EINVAL);
	ERR(setsockopt(s, IPPROTO_IP, IP_TTL, &(int){256}, 4), EINVAL);
	set(s, IPPROTO_IP, IP_TTL, 5);
	EQ(get(s, IPPROTO_IP, IP_TTL), 5);
	set(s, IPPROTO_IP, IP_TTL, -1);
	EQ(get(s, IPPROTO_IP, IP_TTL), 64);
	ERR(setsockopt(s, IPPROTO_IP, IP_MTU_DISCOVER, &(int){6}, 4), EINVAL);
	for (int i = 0; i < 6; i++) {
		set(s, IPPROTO_IP, IP_MTU_DISCOVER, i);
		EQ(get(s, IPPROTO_IP, IP_MTU_DISCOVER), i);
	}
	OK(setsockopt(s, IPPROTO_IP, IP_TOS, "\x10", 1)); /* a byte will do */
	EQ(get(s, IPPROTO_IP, IP_TOS), 0x10);
	unsigned char byte = 0;
	socklen_t n = 1;
	OK(getsockopt(s, IPPROTO_IP, IP_TOS, &byte, &n));
	EQ(n, 1);
	EQ(byte, 0x10);
	ERR(getsockopt(s, IPPROTO_IP, IP_MTU, &(int){0}, &(socklen_t){4}), ENOTCONN);
	OK(connect_to(s, "127.0.0.1", 9));
	EQ(get(s, IPPROTO_IP, IP_MTU), 65535);
	EQ(get(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 1);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 1);
	EQ(get(t, IPPROTO_IPV6, IPV6_TCLASS), 0);
	EQ(get(t, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	EQ(get(t, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_WANT);
	set(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3);
	EQ(get(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 3);
	set(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1);
	EQ(get(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
	ERR(setsockopt(t, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){256}, 4), EINVAL);
	set(t, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
	EQ(get(t, IPPROTO_IP, IP_MULTICAST_LOOP), 1); /* each family has its own */
	set(t, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	EQ(get(t, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_WANT);
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, 4), ENOPROTOOPT);
	ERR(setsockopt(s, IPPROTO_TCP, 1, &(int){1}, 4), ENOPROTOOPT);
	set(s, SOL_SOCKET, SO_NO_CHECK, 1);
	EQ(get(s, SOL_SOCKET, SO_NO_CHECK), 1);
	ERR(setsockopt(s, IPPROTO_UDP, 77, &(int){1}, 4), ENOPROTOOPT);
}

TEST(many_at_once)
{
	own_net();
	enum { N = 8 };
	int s = udp_at("127.0.0.1"), t = udp_at("127.0.0.1"), gone = udp_at("127.0.0.1");
	struct mmsghdr v[N + 2] = {0};
	struct iovec iov[N + 2];
	char bufs[N + 2][16];
	union address to[N + 2];
	for (int i = 0; i < N; i++) {
		to[i] = in4("127.0.0.1", port_of(t));
		iov[i] = (struct iovec){bufs[i], sprintf(bufs[i], "message %d", i)};
		v[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i].in, .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	EQ(sendmmsg(s, v, N, 0), N);
	EQ(v[3].msg_len, 9);
	to[4].in.sin_port = 0;
	EQ(sendmmsg(s, v, N, 0), 4); /* up to the first that fails */
	memset(v, 0, sizeof v);
	for (int i = 0; i < N + 2; i++) {
		iov[i] = (struct iovec){bufs[i], 9};
		v[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &iov[i], .msg_iovlen = 1};
	}
	sleep_ms(20);
	EQ(recvmmsg(t, v, N + 2, MSG_DONTWAIT, NULL), N + 2);
	EQ(memcmp(bufs[7], "message 7", 9), 0);
	EQ(memcmp(bufs[8], "message 0", 9), 0);
	STR(text(to[9]), local_of(s));
	EQ(recvmmsg(t, v, N, MSG_DONTWAIT, NULL), 2);
	close(gone);
}

TEST(put_together)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp_at("127.0.0.1"), port = port_of(t);
	union address to = in4("127.0.0.1", port);
	static char big[65500], in[65600];
	ERR(send(s, "x", 1, MSG_MORE), EDESTADDRREQ);
	EQ(sendto(s, "one", 3, MSG_MORE, &to.sa, sizeof to.in), 3);
	gets_nothing(t);
	EQ(send(s, "two", 3, MSG_MORE), 3);
	EQ(sendto(s, "three", 5, 0, &to.sa, sizeof to.in), 5);
	gets_text(t, "onetwothree");
	set(s, IPPROTO_UDP, UDP_CORK, 1);
	EQ(get(s, IPPROTO_UDP, UDP_CORK), 1);
	EQ(sendto(s, "one", 3, 0, &to.sa, sizeof to.in), 3);
	EQ(send(s, "four", 4, 0), 4);
	gets_nothing(t);
	set(s, IPPROTO_UDP, UDP_CORK, 0);
	gets_text(t, "onefour");
	set(s, IPPROTO_UDP, UDP_CORK, 1);
	EQ(sendto(s, big, sizeof big, 0, &to.sa, sizeof to.in), sizeof big);
	ERR(send(s, big, sizeof big, 0), EMSGSIZE); /* and all of it is lost */
	set(s, IPPROTO_UDP, UDP_CORK, 0);
	gets_nothing(t);
	set(s, IPPROTO_UDP, 103 /* UDP_SEGMENT */, 1000);
	EQ(get(s, IPPROTO_UDP, 103), 1000);
	EQ(send_to(s, big, 2500, "127.0.0.1", port), 2500);
	EQ(next(t, in, sizeof in, NULL), 1000);
	EQ(next(t, in, sizeof in, NULL), 1000);
	EQ(next(t, in, sizeof in, NULL), 500);
	gets_nothing(t);
	set(s, IPPROTO_UDP, 103, 100);
	ERR(send_to(s, big, 12900, "127.0.0.1", port), EINVAL);
	ERR(setsockopt(s, IPPROTO_UDP, 103, &(int){65536}, 4), EINVAL);
	uint16_t size = 10;
	EQ(send_with(s, to, "aaaaaaaaaabbbb", IPPROTO_UDP, 103, &size, 2), 14);
	gets_text(t, "aaaaaaaaaa");
	gets_text(t, "bbbb");
	ERR(send_with(s, to, "x", IPPROTO_UDP, 103, &(int){10}, 4), EINVAL);
}

TEST(waiting)
{
	own_net();
	int s = udp_at("127.0.0.1"), t = udp_at("127.0.0.1");
	char buf[8];
	struct timeval soon = {0, 50000};
	OK(setsockopt(t, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
	int64_t before = now_ns();
	ERR(recv(t, buf, 8, 0), EAGAIN);
	CHECK(now_ns() - before >= 45000000);
	OK(setsockopt(t, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0}, sizeof soon));
	for (int i = 0; i < 20; i++) {
		IN_CHILD {
			pid_t child = fork();
			if (child == 0) {
				if (i & 1)
					sleep_ms(10);
				send_to(s, "wake", 4, "127.0.0.1", port_of(t));
				_exit(0);
			}
			EQ(recv(t, buf, 8, 0), 4);
			REAP_OK(child);
		}
	}
}
