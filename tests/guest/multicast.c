/* Multicast (ip(7), ipv6(7), RFC 3678) on the loopback: who hears what. */
#include "net.h"

#define GROUP "239.1.2.3"
#define GROUP6 "ff05::1:3"

static int listener(int port)
{
	int s = udp(AF_INET);
	set(s, SOL_SOCKET, SO_REUSEADDR, 1);
	OK(bind_to(s, "0.0.0.0", port));
	return s;
}

static struct ip_mreqn mreqn(const char *group, int index)
{
	struct ip_mreqn m = {.imr_multiaddr = in4(group, 0).in.sin_addr, .imr_ifindex = index};
	return m;
}

static struct ip_mreq_source mreq_source(const char *group, const char *source)
{
	struct ip_mreq_source m = {in4(group, 0).in.sin_addr, in4("127.0.0.1", 0).in.sin_addr, in4(source, 0).in.sin_addr};
	return m;
}

static int sender(const char *host)
{
	int s = udp_at(host);
	struct ip_mreqn m = mreqn("0.0.0.0", 1);
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m));
	return s;
}

TEST(join_and_leave)
{
	own_net();
	int a = listener(0), b = listener(port_of(a)), s = sender("127.0.0.1"), port = port_of(a);
	struct ip_mreqn m = mreqn(GROUP, 1);
	set(a, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	set(b, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	EQ(send_to(s, "early", 5, GROUP, port), 5);
	gets_nothing(a);
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), EADDRINUSE);
	EQ(send_to(s, "one", 3, GROUP, port), 3);
	gets_text(a, "one");
	gets_nothing(b);
	struct ip_mreq old = {in4(GROUP, 0).in.sin_addr, in4("127.0.0.1", 0).in.sin_addr};
	OK(setsockopt(b, IPPROTO_IP, IP_ADD_MEMBERSHIP, &old, sizeof old)); /* the interface by its address */
	EQ(send_to(s, "two", 3, GROUP, port), 3);
	gets_text(a, "two"); /* each gets one */
	gets_text(b, "two");
	OK(setsockopt(a, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
	ERR(setsockopt(a, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m), EADDRNOTAVAIL);
	EQ(send_to(s, "three", 5, GROUP, port), 5);
	gets_text(b, "three");
	gets_nothing(a);
	close(b); /* leaves too */
	EQ(send_to(s, "four", 4, GROUP, port), 4);
	gets_nothing(a);
	gets_nothing(s); /* and nobody is told */
}

TEST(errors)
{
	own_net();
	int a = listener(0);
	struct ip_mreqn m = mreqn("10.1.2.3", 1);
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), EINVAL);
	m = mreqn(GROUP, 77);
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
	m = mreqn(GROUP, 0);
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), ENODEV); /* no route */
	m.imr_address = in4("192.0.2.1", 0).in.sin_addr;
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, 4), EINVAL);
	ERR(send_to(a, "x", 1, GROUP, 9), ENETUNREACH);
	m = mreqn("0.0.0.0", 77);
	ERR(setsockopt(a, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m), EADDRNOTAVAIL);
	struct ipv6_mreq m6 = {in6("fd00::1", 0).in6.sin6_addr, 1};
	ERR(setsockopt(a, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof m6), ENOPROTOOPT);
	int b = udp_at("::");
	ERR(setsockopt(b, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof m6), EINVAL);
	m6 = (struct ipv6_mreq){in6(GROUP6, 0).in6.sin6_addr, 77};
	ERR(setsockopt(b, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m6, sizeof m6), ENODEV);
	ERR(setsockopt(b, IPPROTO_IPV6, IPV6_MULTICAST_IF, &(int){77}, 4), ENODEV);
	m6.ipv6mr_interface = 1;
	ERR(setsockopt(b, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &m6, sizeof m6), EADDRNOTAVAIL);
	for (int i = 0; i < 20; i++) {
		char group[32];
		snprintf(group, sizeof group, "239.1.2.%d", i + 1);
		m = mreqn(group, 1);
		OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	}
	m = mreqn("239.9.9.9", 1);
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m), ENOBUFS); /* igmp_max_memberships */
}

TEST(options)
{
	own_net();
	int s = udp(AF_INET), t = udp(AF_INET6);
	struct in_addr lo = in4("127.0.0.1", 0).in.sin_addr, got = {1};
	socklen_t n = sizeof got;
	OK(getsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &got, &n));
	EQ(got.s_addr, 0);
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo));
	OK(getsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &got, &n));
	EQ(got.s_addr, lo.s_addr);
	set(s, IPPROTO_IP, IP_MULTICAST_TTL, 0);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_TTL), 0);
	set(s, IPPROTO_IP, IP_MULTICAST_TTL, 255);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_TTL), 255);
	set(s, IPPROTO_IP, IP_MULTICAST_TTL, -1);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_TTL), 1);
	ERR(setsockopt(s, IPPROTO_IP, IP_MULTICAST_TTL, &(int){256}, 4), EINVAL);
	unsigned char byte = 7;
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_TTL, &byte, 1));
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_TTL), 7);
	byte = 0;
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_LOOP, &byte, 1));
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
	set(s, IPPROTO_IP, IP_MULTICAST_LOOP, 9);
	EQ(get(s, IPPROTO_IP, IP_MULTICAST_LOOP), 1);
	set(t, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_IF), 1);
	set(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 0);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 0);
	set(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, -1);
	EQ(get(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 1);
	ERR(setsockopt(t, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &(int){256}, 4), EINVAL);
}

TEST(what_a_datagram_says)
{
	own_net();
	int a = listener(0), s = sender("127.0.0.1");
	struct ip_mreqn m = mreqn(GROUP, 1);
	struct received r;
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	set(a, IPPROTO_IP, IP_PKTINFO, 1);
	set(a, IPPROTO_IP, IP_RECVTTL, 1);
	EQ(send_to(s, "x", 1, GROUP, port_of(a)), 1);
	EQ(receive_msg(a, &r, 0), 1);
	struct in_pktinfo *info = control(&r, IPPROTO_IP, IP_PKTINFO, sizeof *info);
	CHECK(info);
	EQ(info->ipi_ifindex, 1);
	EQ(info->ipi_addr.s_addr, m.imr_multiaddr.s_addr);
	EQ(ntohl(info->ipi_spec_dst.s_addr), 0x7f000001);
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 1);
	set(s, IPPROTO_IP, IP_MULTICAST_TTL, 3);
	EQ(send_to(s, "x", 1, GROUP, port_of(a)), 1);
	EQ(receive_msg(a, &r, 0), 1);
	EQ(*(int *)control(&r, IPPROTO_IP, IP_TTL, 4), 3);
}

TEST(bound_to_a_group)
{
	own_net();
	int a = udp(AF_INET), s = sender("127.0.0.1");
	OK(bind_to(a, GROUP, 0));
	struct ip_mreqn m = mreqn(GROUP, 1), other = mreqn("239.1.2.4", 1);
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &other, sizeof other));
	EQ(send_to(s, "other", 5, "239.1.2.4", port_of(a)), 5);
	EQ(send_to(s, "group", 5, GROUP, port_of(a)), 5);
	gets_text(a, "group");
	gets_nothing(a);
}

TEST(sources)
{
	own_net();
	int a = listener(0), one = sender("127.0.0.1"), two = sender("127.0.0.2"), port = port_of(a);
	struct ip_mreq_source s1 = mreq_source(GROUP, "127.0.0.1"), s2 = mreq_source(GROUP, "127.0.0.2");
	struct ip_mreqn m = mreqn(GROUP, 1);
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &s1, sizeof s1));
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &s1, sizeof s1), EADDRNOTAVAIL);
	ERR(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &s1, sizeof s1), EINVAL);
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	EQ(send_to(one, "one", 3, GROUP, port), 3);
	gets_text(a, "one");
	gets_nothing(a);
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &s2, sizeof s2));
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	gets_text(a, "two");
	OK(setsockopt(a, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &s1, sizeof s1));
	EQ(send_to(one, "one", 3, GROUP, port), 3);
	gets_nothing(a);
	OK(setsockopt(a, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &s2, sizeof s2)); /* the last one: out */
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	ERR(setsockopt(a, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &s1, sizeof s1), EADDRNOTAVAIL);
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &s1, sizeof s1)); /* nobody was excluded: now only this one */
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	gets_nothing(a);
	OK(setsockopt(a, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
	OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
	OK(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &s1, sizeof s1));
	ERR(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &s2, sizeof s2), EINVAL);
	ERR(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &s1, sizeof s1), EADDRNOTAVAIL);
	EQ(send_to(one, "one", 3, GROUP, port), 3);
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	gets_text(a, "two");
	gets_nothing(a);
	OK(setsockopt(a, IPPROTO_IP, IP_UNBLOCK_SOURCE, &s1, sizeof s1));
	ERR(setsockopt(a, IPPROTO_IP, IP_UNBLOCK_SOURCE, &s1, sizeof s1), EADDRNOTAVAIL);
	EQ(send_to(one, "one", 3, GROUP, port), 3);
	gets_text(a, "one");
	struct group_source_req g = {.gsr_interface = 1};
	memcpy(&g.gsr_group, &(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = m.imr_multiaddr}, 16);
	memcpy(&g.gsr_source, &(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = s2.imr_sourceaddr}, 16);
	OK(setsockopt(a, IPPROTO_IP, MCAST_BLOCK_SOURCE, &g, sizeof g));
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	gets_nothing(a);
	struct group_req leave = {.gr_interface = 1, .gr_group = g.gsr_group};
	OK(setsockopt(a, IPPROTO_IP, MCAST_LEAVE_GROUP, &leave, sizeof leave));
	ERR(setsockopt(a, IPPROTO_IP, MCAST_LEAVE_GROUP, &leave, sizeof leave), EADDRNOTAVAIL);
	OK(setsockopt(a, IPPROTO_IP, MCAST_JOIN_GROUP, &leave, sizeof leave));
	EQ(send_to(two, "two", 3, GROUP, port), 3);
	gets_text(a, "two");
}

TEST(six)
{
	own_net();
	int a = udp_at("::"), s = udp_at("::1");
	struct ipv6_mreq m = {in6(GROUP6, 0).in6.sin6_addr, 1};
	OK(setsockopt(a, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m));
	ERR(setsockopt(a, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m), EADDRINUSE);
	set(s, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1);
	ERR(send_to(s, "x", 1, GROUP6, port_of(a)), ENETUNREACH); /* lo has no route for groups */
	ERR(connect_to(s, GROUP6, port_of(a)), ENETUNREACH);
	OK(setsockopt(a, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &m, sizeof m));
	struct group_req g = {.gr_interface = 1};
	memcpy(&g.gr_group, &(struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = m.ipv6mr_multiaddr}, 28);
	OK(setsockopt(a, IPPROTO_IPV6, MCAST_JOIN_GROUP, &g, sizeof g));
	ERR(setsockopt(a, IPPROTO_IPV6, MCAST_JOIN_GROUP, &g, sizeof g), EADDRINUSE);
	OK(setsockopt(a, IPPROTO_IPV6, MCAST_LEAVE_GROUP, &g, sizeof g));
	ERR(setsockopt(a, IPPROTO_IPV6, MCAST_LEAVE_GROUP, &g, sizeof g), EADDRNOTAVAIL);
}
