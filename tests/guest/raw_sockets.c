/* raw(7), icmp(7), packet(7), ipv6(7): what takes CAP_NET_RAW, on the loopback. */
#include "net.h"
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ipv6.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

static uint16_t checksum(const void *data, int n)
{
	const unsigned char *p = data;
	uint32_t s = 0;
	for (int i = 0; i < n; i++)
		s += i & 1 ? p[i] : p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons(~s);
}

static int raw(int family, int proto)
{
	int s = socket(family, SOCK_RAW | SOCK_CLOEXEC, proto);
	if (s == -1 && errno == EPERM)
		SKIP("no CAP_NET_RAW");
	return OK(s);
}

static int packets(int kind, int proto)
{
	int s = socket(AF_PACKET, kind | SOCK_CLOEXEC, htons(proto));
	if (s == -1 && errno == EPERM)
		SKIP("no CAP_NET_RAW");
	return OK(s);
}

struct echo {
	struct icmphdr head;
	char data[16];
};

static struct echo echo(int sequence)
{
	struct echo e = {.head = {.type = ICMP_ECHO}, .data = "fifteen letters"};
	e.head.un.echo.id = htons(4711);
	e.head.un.echo.sequence = htons(sequence);
	e.head.checksum = checksum(&e, sizeof e);
	return e;
}

/* The next packet of this ICMP type, or none within a while. */
static int next_icmp(int s, int type, unsigned char *buf, int size)
{
	for (int tries = 0; tries < 50; tries++) {
		int n = recv(s, buf, size, MSG_DONTWAIT);
		if (n == -1)
			sleep_ms(10);
		else if (buf[(buf[0] & 15) * 4] == type)
			return n;
	}
	return -1;
}

TEST(icmp)
{
	own_net();
	int s = raw(AF_INET, IPPROTO_ICMP), other = raw(AF_INET, IPPROTO_ICMP);
	unsigned char buf[256];
	struct echo e = echo(1);
	union address from;
	socklen_t n = sizeof from;
	STR(local_of(s), "0.0.0.0:1"); /* the protocol, where a port would be */
	EQ(send_to(s, &e, sizeof e, "127.0.0.1", 0), sizeof e);
	EQ(next_icmp(s, ICMP_ECHOREPLY, buf, sizeof buf), 20 + (int)sizeof e); /* with its IP header */
	struct iphdr *ip = (struct iphdr *)buf;
	EQ(ip->version, 4);
	EQ(ntohs(ip->tot_len), 20 + sizeof e);
	EQ(ip->protocol, IPPROTO_ICMP);
	EQ(checksum(ip, 20), 0);
	EQ(checksum(buf + 20, sizeof e), 0);
	EQ(memcmp(buf + 28, e.data, 16), 0);
	EQ(next_icmp(other, ICMP_ECHO, buf, sizeof buf), 20 + (int)sizeof e); /* everybody sees everything */
	EQ(next_icmp(other, ICMP_ECHOREPLY, buf, sizeof buf), 20 + (int)sizeof e);
	struct icmp_filter { uint32_t data; } only_replies = {~(1u << ICMP_ECHOREPLY)};
	OK(setsockopt(s, SOL_RAW, 1, &only_replies, sizeof only_replies));
	EQ(get(s, SOL_RAW, 1), (int)only_replies.data);
	while (recv(s, buf, sizeof buf, MSG_DONTWAIT) > 0)
		;
	EQ(send_to(s, &e, sizeof e, "127.0.0.1", 0), sizeof e);
	EQ(poll_now(s, POLLIN, 1000), POLLIN);
	EQ(recvfrom(s, buf, sizeof buf, 0, &from.sa, &n), 20 + (int)sizeof e);
	STR(text(from), "127.0.0.1:0");
	EQ(buf[20], ICMP_ECHOREPLY);
	gets_nothing(s);
}

TEST(connected_and_bound)
{
	own_net();
	int s = raw(AF_INET, 99), t = raw(AF_INET, 99), u = raw(AF_INET, 99);
	char buf[64];
	OK(bind_to(t, "127.0.0.2", 0));
	OK(connect_to(u, "127.0.0.3", 0));
	EQ(send_to(s, "hello", 5, "127.0.0.2", 0), 5);
	EQ(next(t, buf, sizeof buf, NULL), 25);
	EQ(memcmp(buf + 20, "hello", 5), 0);
	EQ(next(s, buf, sizeof buf, NULL), 25); /* from 127.0.0.1 to 127.0.0.2: an unbound one hears it */
	gets_nothing(u);
	OK(bind_to(s, "127.0.0.3", 0));
	EQ(send_to(s, "hello", 5, "127.0.0.1", 0), 5);
	EQ(next(u, buf, sizeof buf, NULL), 25);
	gets_nothing(t);
	EQ(send(u, "back", 4, 0), 4);
	EQ(next(s, buf, sizeof buf, NULL), 24);
	ERR(send(s, "x", 1, 0), EDESTADDRREQ);
	ERR(bind_to(raw(AF_INET, 99), "192.0.2.1", 0), EADDRNOTAVAIL);
	ERR(send_to(s, "x", 1, "192.0.2.1", 0), ENETUNREACH);
}

TEST(own_header)
{
	own_net();
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char data[4];
	} __attribute__((packed)) p = {
		.ip = {.version = 4, .ihl = 5, .ttl = 33, .protocol = IPPROTO_UDP, .tos = 0x20},
		.udp = {.source = htons(9999), .len = htons(12)}, /* checksum 0: none */
		.data = "made",
	};
	int s = raw(AF_INET, IPPROTO_RAW), t = udp_at("127.0.0.1");
	struct received r;
	EQ(get(s, IPPROTO_IP, IP_HDRINCL), 1);
	set(t, IPPROTO_IP, IP_RECVTTL, 1);
	set(t, IPPROTO_IP, IP_RECVTOS, 1);
	p.ip.saddr = in4("127.1.1.1", 0).in.sin_addr.s_addr;
	p.ip.daddr = in4("127.0.0.1", 0).in.sin_addr.s_addr;
	p.udp.dest = htons(port_of(t));
	EQ(send_to(s, &p, sizeof p, "127.0.0.1", 0), sizeof p); /* length and checksum are filled in */
	EQ(receive_msg(t, &r, 0), 4);
	EQ(memcmp(r.data, "made", 4), 0);
	STR(text(r.name), "127.1.1.1:9999");
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 33);
	EQ(*(unsigned char *)control(&r, IPPROTO_IP, IP_TOS, 1), 0x20);
	int u = raw(AF_INET, IPPROTO_UDP);
	set(u, IPPROTO_IP, IP_HDRINCL, 1);
	p.ip.saddr = 0; /* and the source */
	EQ(send_to(u, &p, sizeof p, "127.0.0.1", 0), sizeof p);
	EQ(receive_msg(t, &r, 0), 4);
	STR(text(r.name), "127.0.0.1:9999");
	EQ(recv(u, r.data, sizeof r.data, 0), sizeof p); /* it hears UDP itself */
	ERR(send_to(s, &p, 19, "127.0.0.1", 0), EINVAL);
	p.ip.ihl = 15;
	ERR(send_to(s, &p, sizeof p, "127.0.0.1", 0), EINVAL);
	ERR(setsockopt(t, IPPROTO_IP, IP_HDRINCL, &(int){1}, 4), ENOPROTOOPT);
}

TEST(icmp6)
{
	own_net();
	int s = raw(AF_INET6, IPPROTO_ICMPV6);
	struct {
		struct icmp6hdr head;
		char data[8];
	} e = {{.icmp6_type = ICMPV6_ECHO_REQUEST}, "payload"}, *got;
	unsigned char buf[256];
	uint32_t filter[8];
	union address from;
	memset(filter, 0xff, sizeof filter);
	filter[ICMPV6_ECHO_REPLY >> 5] &= ~(1u << (ICMPV6_ECHO_REPLY & 31));
	OK(setsockopt(s, IPPROTO_ICMPV6, 1, filter, sizeof filter));
	EQ(get(s, SOL_RAW, IPV6_CHECKSUM), 2); /* the checksum is made for us */
	EQ(send_to(s, &e, sizeof e, "::1", 0), sizeof e);
	EQ(next(s, buf, sizeof buf, &from), sizeof e); /* without an IP header */
	STR(text(from), "[::1]:0");
	got = (void *)buf;
	EQ(got->head.icmp6_type, ICMPV6_ECHO_REPLY);
	EQ(memcmp(got->data, "payload", 8), 0);
	gets_nothing(s);
	ERR(send_to(s, &e, sizeof e, "::1", 17), EINVAL); /* a port must be the protocol */
	int t = raw(AF_INET6, 99);
	EQ(get(t, IPPROTO_IPV6, IPV6_CHECKSUM), -1);
	set(t, IPPROTO_IPV6, IPV6_CHECKSUM, 2);
	ERR(setsockopt(t, IPPROTO_IPV6, IPV6_CHECKSUM, &(int){3}, 4), EINVAL);
	EQ(send_to(t, "ab\0\0cd", 6, "::1", 0), 6);
	EQ(next(t, buf, sizeof buf, NULL), 6);
	CHECK(buf[2] || buf[3]);
	ERR(send_to(t, "abc", 3, "::1", 0), EINVAL); /* no room for it */
	ERR(send_to(t, "abcd", 4, "::ffff:127.0.0.1", 0), ENETUNREACH);
	ERR(bind_to(t, "::ffff:127.0.0.1", 0), EADDRNOTAVAIL);
}

TEST(refused_protocols)
{
	own_net();
	raw(AF_INET, 99);
	ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	ERR(socket(AF_INET, SOCK_RAW, 300), EINVAL);
	ERR(socket(AF_INET, SOCK_RAW, -1), EINVAL);
	ERR(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMP), EPROTONOSUPPORT);
	ERR(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	NEED_ROOT();
	OK(setresuid(65534, 65534, 65534));
	ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	ERR(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
	ERR(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), EPERM);
	ERR(socket(AF_PACKET, SOCK_DGRAM, 0), EPERM);
}

static int ping_socket(int family)
{
	int s = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, family == AF_INET ? IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	if (s == -1 && errno == EACCES)
		SKIP("net.ipv4.ping_group_range");
	return OK(s);
}

static void allow_ping(void)
{
	int fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
	if (fd >= 0 && write(fd, "0 2147483647", 12) == -1)
		SKIP("cannot set net.ipv4.ping_group_range");
	close(fd);
}

TEST(ping)
{
	own_net();
	ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES); /* nobody may, at first */
	allow_ping();
	int s = ping_socket(AF_INET), t = ping_socket(AF_INET);
	struct echo e = echo(7), got;
	union address from;
	EQ(send_to(s, &e, sizeof e, "127.0.0.1", 0), sizeof e);
	int ident = port_of(s);
	CHECK(ident);
	EQ(next(s, &got, sizeof got, &from), sizeof got);
	STR(text(from), "127.0.0.1:0");
	EQ(got.head.type, ICMP_ECHOREPLY);
	EQ(ntohs(got.head.un.echo.id), ident); /* the socket's, whatever was said */
	EQ(ntohs(got.head.un.echo.sequence), 7);
	EQ(memcmp(got.data, e.data, 16), 0);
	gets_nothing(s);
	OK(bind_to(t, "127.0.0.1", 77));
	STR(local_of(t), "127.0.0.1:77");
	ERR(bind_to(t, "127.0.0.1", 78), EINVAL);
	int u = ping_socket(AF_INET);
	OK(connect_to(t, "127.0.0.1", 0));
	EQ(send(t, &e, sizeof e, 0), sizeof e);
	EQ(next(t, &got, sizeof got, NULL), sizeof got);
	EQ(ntohs(got.head.un.echo.id), 77);
	e.head.type = ICMP_TIMESTAMP;
	ERR(send(t, &e, sizeof e, 0), EINVAL);
	ERR(send(t, &e, 7, 0), EINVAL);
	e.head.type = ICMP_ECHO;
	ERR(send(u, &e, sizeof e, 0), EDESTADDRREQ);
	int six = ping_socket(AF_INET6);
	struct icmp6hdr e6 = {.icmp6_type = ICMPV6_ECHO_REQUEST};
	EQ(send_to(six, &e6, sizeof e6, "::1", 0), sizeof e6);
	EQ(next(six, &e6, sizeof e6, &from), sizeof e6);
	EQ(e6.icmp6_type, ICMPV6_ECHO_REPLY);
	STR(text(from), "[::1]:0");
}

TEST(packet)
{
	own_net();
	int all = packets(SOCK_RAW, ETH_P_ALL), ip = packets(SOCK_DGRAM, ETH_P_IP), none = packets(SOCK_RAW, 0);
	int u = udp_at("127.0.0.1"), v = udp_at("127.0.0.1");
	struct sockaddr_ll name = {0};
	socklen_t n = sizeof name;
	unsigned char buf[256];
	EQ(send_to(u, "hello", 5, "127.0.0.1", port_of(v)), 5);
	EQ(poll_now(all, POLLIN, 1000), POLLIN);
	EQ(recvfrom(all, buf, sizeof buf, 0, (void *)&name, &n), 14 + 20 + 8 + 5);
	EQ(n, sizeof name);
	EQ(name.sll_family, AF_PACKET);
	EQ(name.sll_pkttype, PACKET_OUTGOING);
	EQ(ntohs(name.sll_protocol), ETH_P_IP);
	EQ(name.sll_ifindex, 1);
	EQ(name.sll_hatype, 772); /* ARPHRD_LOOPBACK */
	EQ(name.sll_halen, 6);
	EQ(buf[12] << 8 | buf[13], ETH_P_IP);
	EQ(memcmp(buf + 14 + 28, "hello", 5), 0);
	EQ(poll_now(all, POLLIN, 1000), POLLIN);
	EQ(recvfrom(all, buf, sizeof buf, 0, (void *)&name, &n), 47); /* and back in */
	EQ(name.sll_pkttype, PACKET_HOST);
	EQ(poll_now(ip, POLLIN, 1000), POLLIN);
	EQ(recvfrom(ip, buf, sizeof buf, MSG_TRUNC, (void *)&name, &n), 33); /* cooked, and only what comes in */
	EQ(buf[0], 0x45);
	EQ(name.sll_pkttype, PACKET_HOST);
	gets_nothing(ip);
	gets_nothing(none);
	gets_text(v, "hello");
	name = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = 1, .sll_protocol = htons(ETH_P_ALL)};
	OK(bind(none, (void *)&name, sizeof name));
	EQ(send_to(u, "again", 5, "127.0.0.1", port_of(v)), 5);
	EQ(poll_now(none, POLLIN, 1000), POLLIN);
	struct tpacket_stats stats;
	n = sizeof stats;
	sleep_ms(20);
	OK(getsockopt(none, SOL_PACKET, PACKET_STATISTICS, &stats, &n));
	EQ(stats.tp_packets, 2);
	EQ(stats.tp_drops, 0);
	OK(getsockopt(none, SOL_PACKET, PACKET_STATISTICS, &stats, &n));
	EQ(stats.tp_packets, 0);
	name.sll_ifindex = 77;
	ERR(bind(none, (void *)&name, sizeof name), ENODEV);
	ERR(bind(none, (void *)&name, 8), EINVAL);
	ERR(connect(none, (void *)&name, sizeof name), EOPNOTSUPP);
	ERR(shutdown(none, SHUT_RD), EOPNOTSUPP);
}

TEST(packet_out)
{
	own_net();
	int s = packets(SOCK_RAW, 0), cooked = packets(SOCK_DGRAM, 0), t = udp_at("::1");
	struct {
		struct ethhdr eth;
		struct ipv6hdr ip;
		struct udphdr udp;
		char data[4];
	} __attribute__((packed)) p = {
		.eth = {.h_proto = htons(ETH_P_IPV6)},
		.ip = {.version = 6, .hop_limit = 33, .nexthdr = IPPROTO_UDP, .payload_len = htons(12), .saddr = in6addr_loopback, .daddr = in6addr_loopback},
		.udp = {.source = htons(9999), .len = htons(12)},
		.data = "made",
	};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = 1, .sll_protocol = htons(ETH_P_IPV6), .sll_halen = 6};
	union address from;
	char buf[16];
	p.udp.dest = htons(port_of(t));
	struct {
		struct in6_addr src, dst;
		uint32_t length, proto;
		struct udphdr udp;
		char data[4];
	} pseudo = {in6addr_loopback, in6addr_loopback, htonl(12), htonl(IPPROTO_UDP), p.udp, "made"};
	p.udp.check = checksum(&pseudo, sizeof pseudo);
	EQ(sendto(s, &p, sizeof p, 0, (void *)&to, sizeof to), sizeof p);
	EQ(next(t, buf, sizeof buf, &from), 4);
	STR(text(from), "[::1]:9999");
	EQ(sendto(cooked, &p.ip, sizeof p - 14, 0, (void *)&to, sizeof to), sizeof p - 14);
	EQ(next(t, buf, sizeof buf, &from), 4);
	p.udp.check ^= 1; /* a wrong checksum is seen */
	EQ(sendto(s, &p, sizeof p, 0, (void *)&to, sizeof to), sizeof p);
	gets_nothing(t);
	p.udp.check ^= 1;
	ERR(send(s, &p, sizeof p, 0), ENXIO);
	ERR(sendto(s, &p, 10, 0, (void *)&to, sizeof to), EINVAL);
	static char big[70000];
	ERR(sendto(s, big, 65551, 0, (void *)&to, sizeof to), EMSGSIZE);
	to.sll_ifindex = 77;
	ERR(sendto(s, &p, sizeof p, 0, (void *)&to, sizeof to), ENXIO);
	to.sll_ifindex = 1;
	OK(bind(s, (void *)&to, sizeof to));
	EQ(send(s, &p, sizeof p, 0), sizeof p);
	EQ(next(t, buf, sizeof buf, &from), 4);
}

TEST(errors_of_raw_sockets)
{
	own_net();
	int s = raw(AF_INET, IPPROTO_UDP);
	struct udphdr udp = {.source = htons(9), .dest = htons(9), .len = htons(8)};
	struct received r;
	set(s, IPPROTO_IP, IP_RECVERR, 1);
	EQ(send_to(s, &udp, sizeof udp, "127.0.0.1", 0), sizeof udp); /* nobody has that port */
	EQ(poll_now(s, 0, 1000), POLLERR);
	EQ(receive_msg(s, &r, MSG_ERRQUEUE), 8);
	struct sock_extended_err *e = control(&r, IPPROTO_IP, IP_RECVERR, 0);
	CHECK(e);
	EQ(e->ee_errno, ECONNREFUSED);
	EQ(e->ee_origin, SO_EE_ORIGIN_ICMP);
	EQ(e->ee_type, ICMP_DEST_UNREACH);
	EQ(e->ee_code, ICMP_PORT_UNREACH);
	STR(text(r.name), "127.0.0.1:0");
}
