/* tcp(7), ip(7), ipv6(7), socket(7): the options of TCP sockets, what they are at first, what they take, what is read back. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#endif
#define SAME (-1000000) /* in `range`: the value itself is read back */

static unsigned char buf[512];

static int tcp(void)
{
	return OK(socket(AF_INET, SOCK_STREAM, 0));
}

static int get(int s, int level, int name)
{
	int value = -77;
	socklen_t n = sizeof value;
	OK(getsockopt(s, level, name, &value, &n));
	EQ(n, sizeof value);
	return value;
}

static int set(int s, int level, int name, int value)
{
	return setsockopt(s, level, name, &value, sizeof value);
}

#define SETS(s, level, name, value, read)                                                                                     \
	do {                                                                                                                   \
		OK(set(s, level, name, value));                                                                                \
		EQ(get(s, level, name), read);                                                                                 \
	} while (0)

static void pair(int s[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = tcp();
	OK(bind(l, (struct sockaddr *)&a, n));
	OK(listen(l, 5));
	OK(getsockname(l, (struct sockaddr *)&a, &n));
	s[0] = tcp();
	OK(connect(s[0], (struct sockaddr *)&a, n));
	s[1] = OK(accept(l, NULL, NULL));
	close(l);
}

TEST(socket_level)
{
	int s = tcp();
	EQ(get(s, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	EQ(get(s, SOL_SOCKET, SO_DOMAIN), AF_INET);
	EQ(get(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	EQ(get(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
	EQ(get(s, SOL_SOCKET, SO_ERROR), 0);
	EQ(get(s, SOL_SOCKET, SO_SNDBUF), 16384);
	EQ(get(s, SOL_SOCKET, SO_RCVBUF), 131072);
	EQ(get(s, SOL_SOCKET, SO_RCVLOWAT), 1);
	EQ(get(s, SOL_SOCKET, SO_SNDLOWAT), 1);
	static const int flags[] = {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_OOBINLINE, SO_BROADCAST, SO_DONTROUTE,
				    SO_TIMESTAMP, SO_RXQ_OVFL, SO_ZEROCOPY, SO_NO_CHECK};
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		EQ(get(s, SOL_SOCKET, flags[i]), 0);
		if (flags[i] != SO_ZEROCOPY)
			SETS(s, SOL_SOCKET, flags[i], 7, 1);
		SETS(s, SOL_SOCKET, flags[i], 1, 1);
		SETS(s, SOL_SOCKET, flags[i], 0, 0);
	}
	SETS(s, SOL_SOCKET, SO_SNDBUF, 10000, 20000);
	SETS(s, SOL_SOCKET, SO_SNDBUF, 0, 4608);
	SETS(s, SOL_SOCKET, SO_RCVBUF, 10000, 20000);
	SETS(s, SOL_SOCKET, SO_RCVBUF, 0, 2304);
	int most = get(s, SOL_SOCKET, SO_RCVBUF);
	OK(set(s, SOL_SOCKET, SO_RCVBUF, -1)); /* unsigned: twice net.core.rmem_max */
	CHECK(get(s, SOL_SOCKET, SO_RCVBUF) > most);
	SETS(s, SOL_SOCKET, SO_RCVLOWAT, 0, 1);
	SETS(s, SOL_SOCKET, SO_RCVLOWAT, 100, 100);
	SETS(s, SOL_SOCKET, SO_PRIORITY, 6, 6);
	ERR(set(s, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
	ERR(set(s, SOL_SOCKET, SO_ERROR, 1), ENOPROTOOPT);
	ERR(set(s, SOL_SOCKET, SO_ACCEPTCONN, 1), ENOPROTOOPT);
	ERR(set(s, SOL_SOCKET, SO_SNDLOWAT, 1), ENOPROTOOPT);
	ERR(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, buf, 3), EINVAL);
	ERR(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, BAD, 4), EFAULT);
	ERR(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, buf, -1), EINVAL);
	ERR(set(s, SOL_SOCKET, 2000, 1), ENOPROTOOPT);
	ERR(set(s, 2000, 1, 1), ENOPROTOOPT);
	ERR(set(s, IPPROTO_UDP, 1, 1), ENOPROTOOPT);
	ERR(set(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1), ENOPROTOOPT);
	ERR(set(s, SOL_SOCKET, SO_ZEROCOPY, 2), EINVAL);
	socklen_t n = 2;
	OK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, buf, &n));
	EQ(n, 2);
	n = 100;
	OK(getsockopt(s, SOL_SOCKET, SO_RCVBUF, buf, &n));
	EQ(n, 4);
	n = -1;
	ERR(getsockopt(s, SOL_SOCKET, SO_RCVBUF, buf, &n), EINVAL);
	n = 4;
	ERR(getsockopt(s, SOL_SOCKET, SO_RCVBUF, BAD, &n), EFAULT);
	ERR(getsockopt(s, SOL_SOCKET, SO_RCVBUF, buf, BAD), EFAULT);
	ERR(getsockopt(s, SOL_SOCKET, 2000, buf, &n), ENOPROTOOPT);
	ERR(getsockopt(s, 2000, 1, buf, &n), EOPNOTSUPP);
	struct linger l = {1, 5};
	OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	l.l_linger = l.l_onoff = 9;
	n = sizeof l;
	OK(getsockopt(s, SOL_SOCKET, SO_LINGER, &l, &n));
	EQ(l.l_onoff, 1);
	EQ(l.l_linger, 5);
	ERR(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, 4), EINVAL);
	struct ucred u;
	n = sizeof u;
	OK(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &n));
	EQ(u.pid, 0);
	EQ(u.uid, (uid_t)-1);
	struct timeval tv = {3, 500000};
	OK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	tv.tv_sec = 0;
	n = sizeof tv;
	OK(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, &n));
	EQ(tv.tv_sec, 3);
	EQ(tv.tv_usec, 500000);
	tv.tv_usec = 1000000;
	ERR(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), EDOM);
	ERR(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, 4), EINVAL);
	n = sizeof buf;
	OK(getsockopt(s, SOL_SOCKET, SO_MEMINFO, buf, &n));
	EQ(n, 36);
	n = sizeof buf;
	ERR(getsockopt(s, SOL_SOCKET, SO_PEERNAME, buf, &n), ENOTCONN);
	n = 8;
	OK(getsockopt(s, SOL_SOCKET, SO_COOKIE, buf, &n));
	EQ(n, 8);
}

TEST(devices)
{
	int s = tcp();
	socklen_t n = 20;
	OK(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, buf, &n));
	EQ(n, 0);
	ERR(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nodev77", 8), ENODEV);
	OK(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	n = 20;
	OK(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, buf, &n));
	EQ(n, 3);
	STR((char *)buf, "lo");
	EQ(get(s, SOL_SOCKET, SO_BINDTOIFINDEX), 1);
	SETS(s, SOL_SOCKET, SO_BINDTOIFINDEX, 7777, 7777);
	ERR(set(s, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
}

TEST(tcp_level)
{
	static const struct {
		int name, start, good[3], bad[3];
	} options[] = {
		{TCP_NODELAY, 0, {1, 1, 0}, {-99, -99, -99}},
		{TCP_CORK, 0, {1, 1, 0}, {-99, -99, -99}},
		{TCP_KEEPIDLE, 7200, {1, 32767, 60}, {0, 32768, -1}},
		{TCP_KEEPINTVL, 75, {1, 32767, 60}, {0, 32768, -1}},
		{TCP_KEEPCNT, 9, {1, 127, 3}, {0, 128, -1}},
		{TCP_SYNCNT, 6, {1, 127, 3}, {0, 128, -1}},
		{TCP_USER_TIMEOUT, 0, {1000, 0x7fffffff, 0}, {-1, -99, -99}},
		{TCP_MAXSEG, 536, {1000, 32767, 88}, {87, 32768, -1}},
		{TCP_LINGER2, 60, {5, 120, 1}, {-99, -99, -99}},
		{TCP_THIN_LINEAR_TIMEOUTS, 0, {1, 0, 1}, {2, -1, -99}},
		{TCP_THIN_DUPACK, 0, {0, 0, 0}, {2, -1, -99}},
		{TCP_DEFER_ACCEPT, 0, {1, 3, 7}, {-99, -99, -99}},
		{TCP_WINDOW_CLAMP, 0, {20000, 1152, 0}, {-99, -99, -99}},
		{TCP_NOTSENT_LOWAT, 0, {100, 0x7fffffff, 0}, {-99, -99, -99}},
		{TCP_SAVE_SYN, 0, {1, 2, 0}, {3, -1, -99}},
		{TCP_INQ, 0, {1, 0, 1}, {2, -1, -99}},
		{TCP_FASTOPEN_CONNECT, 0, {0, 0, 0}, {2, -1, -99}},
		{TCP_FASTOPEN_NO_COOKIE, 0, {1, 0, 1}, {2, -1, -99}},
	};
	int s = tcp();
	for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
		char what[32];
		snprintf(what, sizeof what, "tcp option %d", options[i].name);
		check_name = what;
		EQ(get(s, IPPROTO_TCP, options[i].name), options[i].start);
		for (int j = 0; j < 3; j++)
			SETS(s, IPPROTO_TCP, options[i].name, options[i].good[j], options[i].good[j]);
		for (int j = 0; j < 3; j++)
			if (options[i].bad[j] != -99)
				ERR(set(s, IPPROTO_TCP, options[i].name, options[i].bad[j]), EINVAL);
		ERR(setsockopt(s, IPPROTO_TCP, options[i].name, buf, 3), EINVAL);
	}
	SETS(s, IPPROTO_TCP, TCP_NODELAY, 5, 1);
	SETS(s, IPPROTO_TCP, TCP_LINGER2, -5, -1);
	SETS(s, IPPROTO_TCP, TCP_LINGER2, 121, 120);
	SETS(s, IPPROTO_TCP, TCP_LINGER2, 0, 60);
	SETS(s, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5, 7);
	SETS(s, IPPROTO_TCP, TCP_WINDOW_CLAMP, 5, 1152);
	EQ(get(s, IPPROTO_TCP, TCP_QUICKACK), 1);
	ERR(set(s, IPPROTO_TCP, 200, 1), ENOPROTOOPT);
	ERR(set(s, IPPROTO_TCP, TCP_INFO, 1), ENOPROTOOPT);
	socklen_t n = 4;
	ERR(getsockopt(s, IPPROTO_TCP, 200, buf, &n), ENOPROTOOPT);
	ERR(getsockopt(s, IPPROTO_TCP, TCP_QUEUE_SEQ, buf, &n), EINVAL);
	n = 2;
	OK(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, buf, &n));
	EQ(n, 2);
}

TEST(congestion_control)
{
	int s = tcp();
	socklen_t n = sizeof buf;
	OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, buf, &n));
	EQ(n, 16);
	OK(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	n = sizeof buf;
	OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, buf, &n));
	EQ(n, 16);
	STR((char *)buf, "reno");
	n = 3;
	OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, buf, &n));
	EQ(n, 3);
	ERR(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "none such", 9), ENOENT);
	ERR(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "", 0), EINVAL);
	ERR(setsockopt(s, IPPROTO_TCP, TCP_ULP, "none", 4), ENOENT);
}

TEST(information)
{
	int s[2], u = tcp();
	struct tcp_info i;
	socklen_t n = sizeof i;
	memset(&i, 0xff, sizeof i);
	OK(getsockopt(u, IPPROTO_TCP, TCP_INFO, &i, &n));
	EQ(n, sizeof i);
	EQ(i.tcpi_state, 7);
	EQ(i.tcpi_rto, 1000000);
	EQ(i.tcpi_snd_mss, 536);
	pair(s);
	EQ(write(s[0], "12345", 5), 5);
	sleep_ms(50);
	n = sizeof i;
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_INFO, &i, &n));
	EQ(i.tcpi_state, 1);
	EQ(i.tcpi_options & 7, 7);
	EQ(i.tcpi_unacked, 0);
	CHECK(i.tcpi_rto >= 200000 && i.tcpi_rto <= 250000);
	CHECK(i.tcpi_bytes_acked == 5 || i.tcpi_bytes_acked == 6); /* with the SYN */
	EQ(i.tcpi_bytes_sent, 5);
	CHECK(i.tcpi_snd_mss > 20000 && i.tcpi_snd_cwnd >= 10);
	CHECK(i.tcpi_rtt > 0 && i.tcpi_rtt < 100000);
	n = sizeof i;
	OK(getsockopt(s[1], IPPROTO_TCP, TCP_INFO, &i, &n));
	EQ(i.tcpi_bytes_received, 5);
	close(s[0]);
	sleep_ms(50);
	n = 8;
	OK(getsockopt(s[1], IPPROTO_TCP, TCP_INFO, &i, &n));
	EQ(n, 8);
	EQ(i.tcpi_state, 8);
}

TEST(ip_level)
{
	static const int flags[] = {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVERR, IP_RECVOPTS, IP_RETOPTS, IP_FREEBIND,
				    IP_BIND_ADDRESS_NO_PORT, IP_RECVORIGDSTADDR, IP_MULTICAST_LOOP, IP_MULTICAST_ALL};
	int s = tcp();
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		char what[32];
		snprintf(what, sizeof what, "ip option %d", flags[i]);
		check_name = what;
		int multicast = flags[i] == IP_MULTICAST_LOOP || flags[i] == IP_MULTICAST_ALL;
		if (flags[i] != IP_MULTICAST_LOOP)
			EQ(get(s, IPPROTO_IP, flags[i]), multicast);
		if (flags[i] != IP_MULTICAST_ALL)
			SETS(s, IPPROTO_IP, flags[i], 5, 1);
		SETS(s, IPPROTO_IP, flags[i], 1, 1);
		SETS(s, IPPROTO_IP, flags[i], 0, 0);
	}
	EQ(get(s, IPPROTO_IP, IP_TTL), 64);
	SETS(s, IPPROTO_IP, IP_TTL, 255, 255);
	SETS(s, IPPROTO_IP, IP_TTL, -1, 64);
	ERR(set(s, IPPROTO_IP, IP_TTL, 0), EINVAL);
	ERR(set(s, IPPROTO_IP, IP_TTL, 256), EINVAL);
	unsigned char byte = 7;
	OK(setsockopt(s, IPPROTO_IP, IP_TTL, &byte, 1));
	EQ(get(s, IPPROTO_IP, IP_TTL), 7);
	socklen_t n = 1;
	OK(getsockopt(s, IPPROTO_IP, IP_TTL, buf, &n));
	EQ(n, 1);
	EQ(buf[0], 7);
	n = 3;
	OK(getsockopt(s, IPPROTO_IP, IP_TTL, buf, &n));
	EQ(n, 1);
	SETS(s, IPPROTO_IP, IP_TOS, 0x10, 0x10);
	SETS(s, IPPROTO_IP, IP_TOS, 0x1ff, 0xfc); /* the ECN bits are the connection's */
	EQ(get(s, IPPROTO_IP, IP_MTU_DISCOVER), 1);
	SETS(s, IPPROTO_IP, IP_MTU_DISCOVER, 5, 5);
	ERR(set(s, IPPROTO_IP, IP_MTU_DISCOVER, 6), EINVAL);
	SETS(s, IPPROTO_IP, IP_MINTTL, 255, 255);
	ERR(set(s, IPPROTO_IP, IP_MINTTL, 256), EINVAL);
	n = 4;
	ERR(getsockopt(s, IPPROTO_IP, IP_MTU, buf, &n), ENOTCONN);
	ERR(set(s, IPPROTO_IP, 30, 1), ENOPROTOOPT);
	int p[2];
	pair(p);
	EQ(get(p[0], IPPROTO_IP, IP_MTU), 65535);
}

TEST(ipv6_level)
{
	static const int flags[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_RECVERR, IPV6_RECVHOPOPTS,
				    IPV6_RECVDSTOPTS, IPV6_RECVRTHDR, IPV6_DONTFRAG, IPV6_FREEBIND};
	int s = OK(socket(AF_INET6, SOCK_STREAM, 0));
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		EQ(get(s, IPPROTO_IPV6, flags[i]), 0);
		SETS(s, IPPROTO_IPV6, flags[i], 5, 1);
		SETS(s, IPPROTO_IPV6, flags[i], 0, 0);
	}
	EQ(get(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
	SETS(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0, 0);
	SETS(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255, 255);
	SETS(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, 64);
	ERR(set(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256), EINVAL);
	SETS(s, IPPROTO_IPV6, IPV6_TCLASS, 0xff, 0xfc); /* as IP_TOS */
	SETS(s, IPPROTO_IPV6, IPV6_TCLASS, 0x20, 0x20);
	SETS(s, IPPROTO_IPV6, IPV6_TCLASS, -1, 0);
	ERR(set(s, IPPROTO_IPV6, IPV6_TCLASS, 256), EINVAL);
	EQ(get(s, IPPROTO_IPV6, IPV6_MTU_DISCOVER), 1);
	EQ(get(s, IPPROTO_IPV6, IPV6_V6ONLY), 0);
	SETS(s, IPPROTO_IPV6, IPV6_V6ONLY, 9, 1);
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, buf, 1), EINVAL);
	SETS(s, IPPROTO_IP, IP_TTL, 9, 9);
	SETS(s, IPPROTO_TCP, TCP_NODELAY, 1, 1);
	ERR(set(s, IPPROTO_IPV6, 250, 1), ENOPROTOOPT);
}

TEST(connections_inherit)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = tcp(), s = tcp();
	struct timeval tv = {3, 0};
	struct linger on = {1, 7};
	OK(bind(l, (struct sockaddr *)&a, n));
	OK(set(l, IPPROTO_TCP, TCP_NODELAY, 1));
	OK(set(l, IPPROTO_TCP, TCP_KEEPIDLE, 55));
	OK(set(l, SOL_SOCKET, SO_KEEPALIVE, 1));
	OK(set(l, SOL_SOCKET, SO_REUSEADDR, 1));
	OK(set(l, SOL_SOCKET, SO_RCVBUF, 50000));
	OK(set(l, IPPROTO_IP, IP_TOS, 0x10));
	OK(set(l, IPPROTO_IP, IP_TTL, 77));
	OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	OK(setsockopt(l, SOL_SOCKET, SO_LINGER, &on, sizeof on));
	OK(listen(l, 5));
	EQ(get(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
	OK(getsockname(l, (struct sockaddr *)&a, &n));
	OK(connect(s, (struct sockaddr *)&a, n));
	int c = OK(accept(l, NULL, NULL));
	EQ(get(c, IPPROTO_TCP, TCP_NODELAY), 1);
	EQ(get(c, IPPROTO_TCP, TCP_KEEPIDLE), 55);
	EQ(get(c, SOL_SOCKET, SO_KEEPALIVE), 1);
	EQ(get(c, SOL_SOCKET, SO_REUSEADDR), 1);
	EQ(get(c, SOL_SOCKET, SO_RCVBUF), 100000);
	EQ(get(c, IPPROTO_IP, IP_TTL), 77);
	n = sizeof tv;
	OK(getsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &tv, &n));
	EQ(tv.tv_sec, 3);
	n = sizeof on;
	OK(getsockopt(c, SOL_SOCKET, SO_LINGER, &on, &n));
	EQ(on.l_linger, 7);
	EQ(get(c, SOL_SOCKET, SO_ACCEPTCONN), 0);
}
