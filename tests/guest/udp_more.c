/* As udp.c: control messages, extended errors, groups of sockets. */
#include "udp.h"

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
