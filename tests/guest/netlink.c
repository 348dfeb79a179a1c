/* netlink(7), rtnetlink(7): sockets, links, addresses, routes, neighbours, rules, groups. Cases that change something do it in a
 * network namespace of their own. */
#include "netlink.h"
#include <ifaddrs.h>
#include <linux/genetlink.h>
#include <poll.h>

extern unsigned if_nametoindex(const char *);
extern char *if_indextoname(unsigned, char *);

TEST(kinds)
{
	OK(close(OK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE))));
	ERR(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
	ERR(socket(AF_NETLINK, SOCK_SEQPACKET, NETLINK_ROUTE), ESOCKTNOSUPPORT);
	ERR(socket(AF_NETLINK, SOCK_RAW, 77), EPROTONOSUPPORT);
	int fd = nl_open(NETLINK_ROUTE), value;
	socklen_t size = sizeof value;
	OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size));
	EQ(value, AF_NETLINK);
	OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size));
	EQ(value, SOCK_RAW);
	OK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size));
	EQ(value, NETLINK_ROUTE);
	ERR(listen(fd, 1), EOPNOTSUPP);
	ERR(accept(fd, NULL, NULL), EOPNOTSUPP);
	ERR(shutdown(fd, SHUT_RD), EOPNOTSUPP);
	char c;
	ERR(recv(fd, &c, 1, MSG_DONTWAIT), EAGAIN);
	ERR(recv(fd, &c, 1, MSG_OOB), EOPNOTSUPP);
	ERR(send(fd, "", 1, MSG_OOB), EOPNOTSUPP);
}

TEST(names)
{
	int a = nl_open(NETLINK_ROUTE), b = nl_open(NETLINK_ROUTE), c = nl_open(NETLINK_USERSOCK);
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
	socklen_t size = sizeof nl;
	OK(getsockname(a, (struct sockaddr *)&nl, &size));
	EQ(size, sizeof nl);
	EQ(nl.nl_family, AF_NETLINK);
	EQ(nl.nl_pid, 0);
	nl.nl_pid = 0;
	OK(bind(a, (struct sockaddr *)&nl, sizeof nl));
	OK(getsockname(a, (struct sockaddr *)&nl, &size));
	EQ(nl.nl_pid, getpid());
	ERR(bind(b, (struct sockaddr *)&nl, sizeof nl), EADDRINUSE);
	OK(bind(c, (struct sockaddr *)&nl, sizeof nl)); /* another protocol */
	nl.nl_pid = 4711;
	ERR(bind(a, (struct sockaddr *)&nl, sizeof nl), EINVAL);
	nl.nl_pid = 0;
	ERR(bind(b, (struct sockaddr *)&nl, sizeof nl - 1), EINVAL);
	nl.nl_family = AF_INET;
	ERR(bind(b, (struct sockaddr *)&nl, sizeof nl), EINVAL);
	nl.nl_family = AF_NETLINK;
	OK(bind(b, (struct sockaddr *)&nl, sizeof nl));
	OK(getsockname(b, (struct sockaddr *)&nl, &size));
	CHECK(nl.nl_pid != (unsigned)getpid() && nl.nl_pid != 0);
	OK(getpeername(b, (struct sockaddr *)&nl, &size));
	EQ(nl.nl_pid, 0);
	OK(close(a));
	int d = nl_open(NETLINK_ROUTE);
	OK(connect(d, (struct sockaddr *)&(struct sockaddr_nl){.nl_family = AF_NETLINK}, sizeof nl));
	OK(getsockname(d, (struct sockaddr *)&nl, &size));
	EQ(nl.nl_pid, getpid()); /* the port is free again, and connect(2) takes one */
}

static int los, link_count;

static void see_link(struct nlmsghdr *h)
{
	struct ifinfomsg *link = NLMSG_DATA(h);
	EQ(h->nlmsg_type, RTM_NEWLINK);
	link_count++;
	const char *name = attribute(h, sizeof *link, IFLA_IFNAME, NULL);
	CHECK(name);
	EQ(if_nametoindex(name), link->ifi_index);
	if (strcmp(name, "lo"))
		return;
	los++;
	int size = 0;
	EQ(link->ifi_type, 772);
	EQ(link->ifi_index, 1);
	EQ(link->ifi_flags, IFF_LOOPBACK);
	EQ(number(h, sizeof *link, IFLA_MTU), 65536);
	EQ(number(h, sizeof *link, IFLA_TXQLEN), 1000);
	CHECK(!memcmp(attribute(h, sizeof *link, IFLA_ADDRESS, &size), "\0\0\0\0\0\0", 6));
	EQ(size, 6);
	STR(attribute(h, sizeof *link, IFLA_QDISC, &size), "noop");
	CHECK(attribute(h, sizeof *link, IFLA_STATS64, &size));
	CHECK(size >= 23 * 8);
	CHECK(attribute(h, sizeof *link, IFLA_AF_SPEC, &size));
}

TEST(dump_links)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	begin(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	EQ(dump(fd, &r, see_link), link_count);
	EQ(los, 1);
	begin(&r, RTM_GETLINK, 0, sizeof(struct rtgenmsg)); /* a family alone, as libraries ask */
	CHECK(dump(fd, &r, NULL) >= 1);
	begin(&r, RTM_GETADDR, 0, sizeof(struct rtgenmsg));
	EQ(dump(fd, &r, NULL), 0); /* lo is down and has none */
	begin(&r, RTM_GETROUTE, 0, sizeof(struct rtgenmsg));
	EQ(dump(fd, &r, NULL), 0);
	begin(&r, RTM_GETNEIGH, 0, sizeof(struct rtgenmsg));
	EQ(dump(fd, &r, NULL), 0);
}

static int ask_link(int fd, int index, const char *name)
{
	struct request r;
	struct ifinfomsg *link = begin(&r, RTM_GETLINK, 0, sizeof *link);
	link->ifi_index = index;
	if (name)
		put_text(&r, IFLA_IFNAME, name);
	nl_send(fd, &r);
	nl_read(fd);
	if (first()->nlmsg_type == NLMSG_ERROR)
		return -((struct nlmsgerr *)NLMSG_DATA(first()))->error;
	EQ(first()->nlmsg_type, RTM_NEWLINK);
	EQ(first()->nlmsg_flags & NLM_F_MULTI, 0);
	return 0;
}

TEST(get_link)
{
	int fd = nl_open(NETLINK_ROUTE);
	EQ(ask_link(fd, 1, NULL), 0);
	STR(attribute(first(), sizeof(struct ifinfomsg), IFLA_IFNAME, NULL), "lo");
	EQ(ask_link(fd, 0, "lo"), 0);
	EQ(((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_index, 1);
	EQ(ask_link(fd, 99999, NULL), ENODEV);
	EQ(ask_link(fd, 0, "nobody"), ENODEV);
	EQ(ask_link(fd, 0, NULL), EINVAL);
	char name[IFNAMSIZ];
	STR(if_indextoname(1, name), "lo");
	EQ(if_nametoindex("nobody"), 0);
}

TEST(acknowledgements)
{
	int fd = nl_open(NETLINK_ROUTE), on = 1;
	struct request r;
	struct nlmsgerr *err = NLMSG_DATA(first());
	begin(&r, 70, 0, 16); /* no such message */
	EQ(ask(fd, &r), EOPNOTSUPP);
	EQ(first()->nlmsg_flags, 0);
	EQ(first()->nlmsg_len, NLMSG_SPACE(sizeof *err) + 16); /* all that was sent is quoted */
	EQ(err->msg.nlmsg_type, 70);
	EQ(err->msg.nlmsg_len, r.head.nlmsg_len);
	OK(setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on));
	EQ(ask(fd, &r), EOPNOTSUPP);
	EQ(first()->nlmsg_flags, NLM_F_CAPPED);
	EQ(first()->nlmsg_len, NLMSG_SPACE(sizeof *err));
	begin(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	((struct ifinfomsg *)r.body)->ifi_index = 1;
	r.head.nlmsg_flags |= NLM_F_ACK;
	nl_send(fd, &r);
	nl_read(fd);
	EQ(first()->nlmsg_type, RTM_NEWLINK);
	nl_read(fd);
	EQ(first()->nlmsg_type, NLMSG_ERROR);
	EQ(err->error, 0);
	r.head.nlmsg_flags = NLM_F_ACK; /* no NLM_F_REQUEST: acknowledged, not served */
	nl_send(fd, &r);
	nl_read(fd);
	EQ(first()->nlmsg_type, NLMSG_ERROR);
	EQ(err->error, 0);
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	nl_send(fd, &r);
	nl_read(fd);
	EQ(err->error, 0);
	begin(&r, RTM_GETLINK, 0, 4); /* too short */
	EQ(ask(fd, &r), EINVAL);
	OK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
	begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	((struct ifaddrmsg *)r.body)->ifa_prefixlen = 3;
	OK(setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on));
	nl_send(fd, &r);
	nl_read(fd);
	EQ(first()->nlmsg_type, NLMSG_DONE); /* a dump that fails is over */
	EQ(*(int *)NLMSG_DATA(first()), -EINVAL);
	CHECK(first()->nlmsg_flags & NLM_F_ACK_TLVS);
	const char *text = attribute(first(), sizeof(int), NLMSGERR_ATTR_MSG, NULL);
	CHECK(text && strlen(text) > 10);
	begin(&r, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	((struct ifinfomsg *)r.body)->ifi_index = -3;
	EQ(ask(fd, &r), geteuid() ? EPERM : EINVAL);
	if (geteuid() == 0) {
		text = attribute(first(), sizeof *err, NLMSGERR_ATTR_MSG, NULL);
		CHECK(text && strlen(text) > 10);
	}
}

TEST(several_in_one)
{
	int fd = nl_open(NETLINK_ROUTE);
	char buf[1024];
	size_t used = 0;
	for (int i = 0; i < 3; i++) {
		struct request r;
		struct ifinfomsg *link = begin(&r, RTM_GETLINK, 0, sizeof *link);
		link->ifi_index = i == 1 ? 99999 : 1;
		memcpy(buf + used, &r, r.head.nlmsg_len);
		used += NLMSG_ALIGN(r.head.nlmsg_len);
	}
	EQ(send(fd, buf, used, 0), used);
	int types[] = {RTM_NEWLINK, NLMSG_ERROR, RTM_NEWLINK};
	for (int i = 0; i < 3; i++) {
		nl_read(fd);
		EQ(first()->nlmsg_type, types[i]);
		EQ(first()->nlmsg_seq, sequence - 2 + i);
	}
	EQ(send(fd, "x", 1, 0), 1); /* no whole header: nothing */
	ERR(recv(fd, buf, sizeof buf, MSG_DONTWAIT), EAGAIN);
}

TEST(reading)
{
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	struct sockaddr_nl from = {0};
	char small[8];
	struct iovec iov = {small, sizeof small};
	struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
	for (int i = 0; i < 3; i++) {
		begin(&r, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
		((struct ifinfomsg *)r.body)->ifi_index = 1;
		nl_send(fd, &r);
	}
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN | POLLOUT);
	ssize_t whole = OK(recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC));
	CHECK(whole > 300);
	EQ(OK(recvmsg(fd, &msg, 0)), sizeof small); /* the rest is lost */
	EQ(msg.msg_flags, MSG_TRUNC);
	EQ(from.nl_family, AF_NETLINK);
	EQ(from.nl_pid, 0);
	EQ(from.nl_groups, 0);
	EQ(OK(recv(fd, small, sizeof small, MSG_TRUNC)), whole);
	EQ(nl_read(fd), whole);
	ERR(recv(fd, small, sizeof small, MSG_DONTWAIT), EAGAIN);
}

static int four, six;

static void see_address(struct nlmsghdr *h)
{
	struct ifaddrmsg *addr = NLMSG_DATA(h);
	EQ(h->nlmsg_type, RTM_NEWADDR);
	EQ(addr->ifa_index, 1);
	EQ(addr->ifa_scope, RT_SCOPE_HOST);
	CHECK(addr->ifa_flags & IFA_F_PERMANENT);
	if (addr->ifa_family == AF_INET) {
		four++;
		EQ(addr->ifa_prefixlen, 8);
		EQ(number(h, sizeof *addr, IFA_LOCAL), htonl(INADDR_LOOPBACK));
		EQ(number(h, sizeof *addr, IFA_ADDRESS), htonl(INADDR_LOOPBACK));
		STR(attribute(h, sizeof *addr, IFA_LABEL, NULL), "lo");
	} else {
		six++;
		EQ(addr->ifa_family, AF_INET6);
		EQ(addr->ifa_prefixlen, 128);
	}
	struct ifa_cacheinfo ci;
	memcpy(&ci, attribute(h, sizeof *addr, IFA_CACHEINFO, NULL), sizeof ci);
	EQ(ci.ifa_valid, 0xffffffff);
}

TEST(loopback)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	EQ(set_up(fd, 1, 1), 0);
	EQ(ask_link(fd, 1, NULL), 0);
	struct ifinfomsg *link = NLMSG_DATA(first());
	EQ(link->ifi_flags, IFF_LOOPBACK | IFF_UP | IFF_RUNNING | IFF_LOWER_UP);
	EQ(*(unsigned char *)attribute(first(), sizeof *link, IFLA_OPERSTATE, NULL), IF_OPER_UNKNOWN);
	STR(attribute(first(), sizeof *link, IFLA_QDISC, NULL), "noqueue");
	struct request r;
	begin(&r, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
	EQ(dump(fd, &r, see_address), 2);
	EQ(four, 1);
	EQ(six, 1);
	struct ifaddrs *all, *p;
	int seen = 0;
	OK(getifaddrs(&all));
	for (p = all; p; p = p->ifa_next) {
		STR(p->ifa_name, "lo");
		seen |= p->ifa_addr->sa_family == AF_INET ? 1 : p->ifa_addr->sa_family == AF_INET6 ? 2 : 4;
	}
	EQ(seen, 7);
	freeifaddrs(all);
	EQ(set_up(fd, 1, 0), 0);
	begin(&r, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
	EQ(dump(fd, &r, NULL), 1); /* ::1 has gone, 127.0.0.1 stays */
	EQ(set_up(fd, 4242, 1), ENODEV);
}

TEST(addresses)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	EQ(set_up(fd, 1, 1), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "10.1.2.3", 24), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, 1, "10.1.2.3", 24), EEXIST);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, 1, "10.1.2.3", 24), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 99, "10.1.2.3", 24), ENODEV);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, "10.1.2.3", 33), EINVAL);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, "2001:db8::1", 64), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, "2001:db8::1", 64), EEXIST);
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in in = {.sin_family = AF_INET};
	inet_pton(AF_INET, "10.1.2.3", &in.sin_addr);
	OK(bind(s, (struct sockaddr *)&in, sizeof in));
	begin(&r, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
	EQ(dump(fd, &r, NULL), 4);
	begin(&r, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
	((struct ifaddrmsg *)r.body)->ifa_family = AF_INET6;
	EQ(dump(fd, &r, NULL), 2);
	EQ(change_address(fd, RTM_DELADDR, 0, 1, "10.1.2.3", 24), 0);
	EQ(change_address(fd, RTM_DELADDR, 0, 1, "10.1.2.3", 24), EADDRNOTAVAIL);
	EQ(change_address(fd, RTM_DELADDR, 0, 1, "2001:db8::1", 64), 0);
	s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	ERR(bind(s, (struct sockaddr *)&in, sizeof in), EADDRNOTAVAIL);
	struct ifaddrmsg *addr = begin(&r, RTM_NEWADDR, NLM_F_CREATE, sizeof *addr);
	addr->ifa_family = AF_INET;
	addr->ifa_prefixlen = 24;
	addr->ifa_index = 1;
	EQ(ask(fd, &r), EINVAL); /* without an address */
}

static int change_route(int fd, int type, int flags, const char *dst, int prefix, const char *via, int oif, unsigned metric)
{
	struct request r;
	struct rtmsg *rt = begin(&r, type, flags, sizeof *rt);
	unsigned char raw[16];
	int size = strchr(dst, ':') ? 16 : 4;
	rt->rtm_family = size == 4 ? AF_INET : AF_INET6;
	rt->rtm_dst_len = prefix;
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = RTPROT_STATIC;
	rt->rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	rt->rtm_type = type == RTM_DELROUTE ? 0 : RTN_UNICAST;
	if (type == RTM_DELROUTE)
		rt->rtm_protocol = 0;
	EQ(inet_pton(rt->rtm_family, dst, raw), 1);
	if (prefix)
		put(&r, RTA_DST, raw, size);
	if (via) {
		EQ(inet_pton(rt->rtm_family, via, raw), 1);
		put(&r, RTA_GATEWAY, raw, size);
	}
	if (oif)
		put_u32(&r, RTA_OIF, oif);
	if (metric)
		put_u32(&r, RTA_PRIORITY, metric);
	return ask(fd, &r);
}

static int statics;

static void see_route(struct nlmsghdr *h)
{
	struct rtmsg *rt = NLMSG_DATA(h);
	EQ(h->nlmsg_type, RTM_NEWROUTE);
	statics += rt->rtm_protocol == RTPROT_STATIC;
	EQ(number(h, sizeof *rt, RTA_TABLE), rt->rtm_table);
}

static int lookup(int fd, const char *dst)
{
	struct request r;
	struct rtmsg *rt = begin(&r, RTM_GETROUTE, 0, sizeof *rt);
	unsigned char raw[16];
	int size = strchr(dst, ':') ? 16 : 4;
	rt->rtm_family = size == 4 ? AF_INET : AF_INET6;
	rt->rtm_dst_len = 8 * size;
	EQ(inet_pton(rt->rtm_family, dst, raw), 1);
	put(&r, RTA_DST, raw, size);
	nl_send(fd, &r);
	nl_read(fd);
	if (first()->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(first()))->error;
	EQ(first()->nlmsg_type, RTM_NEWROUTE);
	return number(first(), sizeof *rt, RTA_OIF);
}

TEST(routes)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE), to = NLM_F_CREATE | NLM_F_EXCL;
	struct request r;
	EQ(set_up(fd, 1, 1), 0);
	EQ(add_veth(fd, "one", "two"), 0);
	int one = if_nametoindex("one");
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.9.0.0", 16, NULL, one, 0), ENETDOWN);
	EQ(set_up(fd, one, 1), 0);
	EQ(set_up(fd, if_nametoindex("two"), 1), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, one, "10.1.2.3", 24), 0);
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.9.0.0", 16, "10.1.2.1", 0, 0), 0);
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.9.0.0", 16, "10.1.2.1", 0, 0), EEXIST);
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.9.0.0", 16, "10.1.2.1", 0, 7), 0);
	EQ(change_route(fd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, "10.9.0.0", 16, "10.1.2.2", 0, 0), 0);
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.9.9.0", 16, "10.1.2.1", 0, 0), EINVAL); /* bits behind the prefix */
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.8.0.0", 16, "10.7.2.1", 0, 0), ENETUNREACH);
	EQ(change_route(fd, RTM_NEWROUTE, to, "10.8.0.0", 16, NULL, 99, 0), ENODEV);
	EQ(change_route(fd, RTM_NEWROUTE, to, "0.0.0.0", 0, "10.1.2.1", 0, 0), 0);
	begin(&r, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	((struct rtmsg *)r.body)->rtm_family = AF_INET;
	CHECK(dump(fd, &r, see_route) >= 8);
	EQ(statics, 3);
	EQ(lookup(fd, "10.9.1.1"), one);
	struct rtmsg *rt = NLMSG_DATA(first());
	EQ(rt->rtm_dst_len, 32);
	EQ(rt->rtm_flags & RTM_F_CLONED, RTM_F_CLONED);
	CHECK(!memcmp(attribute(first(), sizeof *rt, RTA_GATEWAY, NULL), "\12\1\2\2", 4));
	CHECK(!memcmp(attribute(first(), sizeof *rt, RTA_PREFSRC, NULL), "\12\1\2\3", 4));
	EQ(lookup(fd, "10.1.2.3"), 1);
	EQ(((struct rtmsg *)NLMSG_DATA(first()))->rtm_type, RTN_LOCAL);
	EQ(lookup(fd, "10.1.2.255"), one);
	EQ(((struct rtmsg *)NLMSG_DATA(first()))->rtm_type, RTN_BROADCAST);
	EQ(lookup(fd, "8.8.8.8"), one);
	EQ(change_route(fd, RTM_DELROUTE, 0, "0.0.0.0", 0, NULL, 0, 0), 0);
	EQ(lookup(fd, "8.8.8.8"), -ENETUNREACH);
	EQ(change_route(fd, RTM_DELROUTE, 0, "10.9.0.0", 16, NULL, 0, 7), 0);
	EQ(change_route(fd, RTM_DELROUTE, 0, "10.9.0.0", 16, "10.1.2.9", 0, 0), ESRCH);
	EQ(change_route(fd, RTM_DELROUTE, 0, "10.9.0.0", 16, "10.1.2.2", 0, 0), 0);
	EQ(change_route(fd, RTM_DELROUTE, 0, "10.9.0.0", 16, NULL, 0, 0), ESRCH);
	EQ(change_route(fd, RTM_NEWROUTE, to, "2001:db8::", 32, "fe80::1", one, 0), 0);
	EQ(lookup(fd, "2001:db8::7"), one);
	EQ(change_route(fd, RTM_DELROUTE, 0, "2001:db8::", 32, NULL, 0, 0), 0);
	EQ(set_up(fd, one, 0), 0);
	EQ(lookup(fd, "10.1.2.9"), -ENETUNREACH); /* routes go with their interface */
}

TEST(neighbours)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	EQ(add_veth(fd, "one", "two"), 0);
	int one = if_nametoindex("one");
	EQ(set_up(fd, one, 1), 0);
	for (int type = RTM_NEWNEIGH, round = 0; round < 4; round++) {
		static const int expected[] = {0, EEXIST, 0, ENOENT};
		if (round == 2)
			type = RTM_DELNEIGH;
		struct ndmsg *nd = begin(&r, type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_EXCL : 0, sizeof *nd);
		nd->ndm_family = AF_INET;
		nd->ndm_ifindex = one;
		nd->ndm_state = NUD_PERMANENT;
		put(&r, NDA_DST, "\12\1\2\1", 4);
		if (type == RTM_NEWNEIGH)
			put(&r, NDA_LLADDR, "\2\0\0\0\0\7", 6);
		EQ(ask(fd, &r), expected[round]);
		if (round == 0) {
			nd = begin(&r, RTM_GETNEIGH, 0, sizeof *nd);
			nd->ndm_family = AF_INET;
			EQ(dump(fd, &r, NULL), 1);
			nd = NLMSG_DATA(first());
			EQ(nd->ndm_state, NUD_PERMANENT);
			EQ(nd->ndm_ifindex, one);
			CHECK(!memcmp(attribute(first(), sizeof *nd, NDA_LLADDR, NULL), "\2\0\0\0\0\7", 6));
		}
	}
	struct ndmsg *nd = begin(&r, RTM_NEWNEIGH, NLM_F_CREATE, sizeof *nd);
	nd->ndm_family = AF_INET;
	nd->ndm_ifindex = one;
	nd->ndm_state = NUD_PERMANENT;
	EQ(ask(fd, &r), EINVAL); /* of whom */
	put(&r, NDA_DST, "\12\1\2\1", 4);
	nd->ndm_ifindex = 99;
	EQ(ask(fd, &r), ENODEV);
}

static int rule_count;

static void see_rule(struct nlmsghdr *h)
{
	EQ(h->nlmsg_type, RTM_NEWRULE);
	rule_count++;
}

TEST(rules)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	struct fib_rule_hdr *rule = begin(&r, RTM_GETRULE, 0, sizeof *rule);
	rule->family = AF_INET;
	EQ(dump(fd, &r, see_rule), 3);
	for (int round = 0; round < 4; round++) {
		static const int expected[] = {0, EEXIST, 0, ENOENT};
		rule = begin(&r, round < 2 ? RTM_NEWRULE : RTM_DELRULE, round < 2 ? NLM_F_CREATE | NLM_F_EXCL : 0, sizeof *rule);
		rule->family = AF_INET;
		rule->src_len = 16;
		rule->action = FR_ACT_TO_TBL;
		rule->table = 77;
		put(&r, FRA_SRC, "\12\2\0\0", 4);
		put_u32(&r, FRA_PRIORITY, 100);
		EQ(ask(fd, &r), expected[round]);
	}
	rule = begin(&r, RTM_GETRULE, 0, sizeof *rule);
	rule->family = AF_INET;
	EQ(dump(fd, &r, NULL), 3);
}

TEST(links)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	EQ(add_veth(fd, "one", "two"), 0);
	EQ(add_veth(fd, "one", "three"), EEXIST);
	EQ(add_veth(fd, "four", "two"), EEXIST);
	EQ(if_nametoindex("four"), 0);
	int one = if_nametoindex("one"), two = if_nametoindex("two");
	CHECK(one && two);
	EQ(ask_link(fd, one, NULL), 0);
	EQ(number(first(), sizeof(struct ifinfomsg), IFLA_LINK), two);
	EQ(((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_flags, IFF_BROADCAST | IFF_MULTICAST);
	EQ(set_up(fd, one, 1), 0);
	EQ(ask_link(fd, one, NULL), 0);
	EQ(((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_flags & (IFF_UP | IFF_RUNNING | IFF_LOWER_UP), IFF_UP);
	EQ(*(unsigned char *)attribute(first(), sizeof(struct ifinfomsg), IFLA_OPERSTATE, NULL), IF_OPER_LOWERLAYERDOWN);
	EQ(set_up(fd, two, 1), 0);
	EQ(ask_link(fd, one, NULL), 0);
	CHECK(((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_flags & IFF_LOWER_UP);
	struct ifinfomsg *link = begin(&r, RTM_SETLINK, 0, sizeof *link);
	link->ifi_index = one;
	put_u32(&r, IFLA_MTU, 1400);
	put(&r, IFLA_ADDRESS, "\2\0\0\0\0\11", 6);
	put_text(&r, IFLA_IFALIAS, "outside");
	put_u32(&r, IFLA_TXQLEN, 77);
	EQ(ask(fd, &r), 0);
	EQ(ask_link(fd, one, NULL), 0);
	EQ(number(first(), sizeof *link, IFLA_MTU), 1400);
	EQ(number(first(), sizeof *link, IFLA_TXQLEN), 77);
	STR(attribute(first(), sizeof *link, IFLA_IFALIAS, NULL), "outside");
	CHECK(!memcmp(attribute(first(), sizeof *link, IFLA_ADDRESS, NULL), "\2\0\0\0\0\11", 6));
	link = begin(&r, RTM_SETLINK, 0, sizeof *link);
	link->ifi_index = one;
	put_u32(&r, IFLA_MTU, 20);
	EQ(ask(fd, &r), EINVAL);
	link = begin(&r, RTM_SETLINK, 0, sizeof *link);
	link->ifi_index = two;
	put_text(&r, IFLA_IFNAME, "one");
	EQ(ask(fd, &r), EEXIST);
	link = begin(&r, RTM_SETLINK, 0, sizeof *link);
	link->ifi_index = two;
	put_text(&r, IFLA_IFNAME, "deux");
	EQ(ask(fd, &r), 0);
	EQ(if_nametoindex("deux"), two);
	begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *link);
	put_text(&r, IFLA_IFNAME, "odd");
	struct nlattr *info = put(&r, IFLA_LINKINFO, NULL, 0);
	put_text(&r, IFLA_INFO_KIND, "nosuchkind");
	close_nest(&r, info);
	EQ(ask(fd, &r), EOPNOTSUPP);
	link = begin(&r, RTM_DELLINK, 0, sizeof *link);
	link->ifi_index = 1;
	EQ(ask(fd, &r), EOPNOTSUPP);
	link->ifi_index = one;
	EQ(ask(fd, &r), 0);
	EQ(if_nametoindex("one"), 0);
	EQ(if_nametoindex("deux"), 0); /* a pair goes together */
	EQ(ask(fd, &r), ENODEV);
}

TEST(groups)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE), ear = nl_open(NETLINK_ROUTE), on = 1;
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
	OK(bind(ear, (struct sockaddr *)&nl, sizeof nl));
	int group = RTNLGRP_IPV4_ROUTE;
	OK(setsockopt(ear, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
	OK(setsockopt(ear, SOL_NETLINK, NETLINK_PKTINFO, &on, sizeof on));
	unsigned words[4] = {0};
	socklen_t size = sizeof words;
	OK(getsockopt(ear, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &size));
	CHECK(size >= 4);
	EQ(words[0], RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE);
	group = 0;
	ERR(setsockopt(ear, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group), EINVAL);
	group = 4000;
	ERR(setsockopt(ear, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group), EINVAL);
	EQ(set_up(fd, 1, 1), 0);
	int seen_link = 0, seen_addr = 0, seen_route = 0;
	for (;;) {
		struct sockaddr_nl from;
		char control[64];
		struct iovec iov = {answer, sizeof answer};
		struct msghdr msg = {&from, sizeof from, &iov, 1, control, sizeof control, 0};
		if (recvmsg(ear, &msg, MSG_DONTWAIT) < 0)
			break;
		EQ(from.nl_pid, 0);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		CHECK(c && c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_PKTINFO);
		unsigned told = *(unsigned *)CMSG_DATA(c);
		EQ(from.nl_groups, 1u << (told - 1));
		if (first()->nlmsg_type == RTM_NEWLINK) {
			EQ(told, RTNLGRP_LINK);
			CHECK(((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_flags & IFF_UP);
			seen_link++;
		} else if (first()->nlmsg_type == RTM_NEWADDR) {
			EQ(told, RTNLGRP_IPV4_IFADDR);
			seen_addr++;
		} else if (first()->nlmsg_type == RTM_NEWROUTE) {
			EQ(told, RTNLGRP_IPV4_ROUTE);
			seen_route++;
		}
	}
	CHECK(seen_link >= 1);
	EQ(seen_addr, 1);
	EQ(seen_route, 3);
	group = RTNLGRP_IPV4_ROUTE;
	OK(setsockopt(ear, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group));
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, "10.1.2.3", 32), 0);
	nl_read(ear);
	EQ(first()->nlmsg_type, RTM_NEWADDR);
	EQ(first()->nlmsg_seq, sequence); /* of the request that did it */
	size = sizeof nl;
	OK(getsockname(fd, (struct sockaddr *)&nl, &size));
	EQ(first()->nlmsg_pid, nl.nl_pid);
	char c;
	ERR(recv(ear, &c, 1, MSG_DONTWAIT), EAGAIN);
	EQ(add_veth(fd, "one", "two"), 0);
	int index = if_nametoindex("one");
	while (recv(ear, answer, sizeof answer, MSG_DONTWAIT) > 0)
		EQ(first()->nlmsg_type, RTM_NEWLINK);
	struct request r;
	((struct ifinfomsg *)begin(&r, RTM_DELLINK, 0, sizeof(struct ifinfomsg)))->ifi_index = index;
	EQ(ask(fd, &r), 0);
	int gone = 0;
	while (recv(ear, answer, sizeof answer, MSG_DONTWAIT) > 0)
		if (first()->nlmsg_type == RTM_DELLINK)
			gone += ((struct ifinfomsg *)NLMSG_DATA(first()))->ifi_index == index;
	EQ(gone, 1);
}

TEST(overrun)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE), ear = nl_open(NETLINK_ROUTE), quiet = nl_open(NETLINK_ROUTE), small = 2048, on = 1;
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	OK(setsockopt(ear, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
	OK(setsockopt(quiet, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
	OK(setsockopt(quiet, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on));
	OK(bind(ear, (struct sockaddr *)&nl, sizeof nl));
	OK(bind(quiet, (struct sockaddr *)&nl, sizeof nl));
	for (int i = 0; i < 20; i++)
		EQ(set_up(fd, 1, i % 2 == 0), 0);
	ERR(recv(ear, answer, sizeof answer, MSG_DONTWAIT), ENOBUFS);
	EQ(OK(recv(quiet, answer, sizeof answer, MSG_DONTWAIT)) > 0, 1);
	int got = 0;
	while (recv(ear, answer, sizeof answer, MSG_DONTWAIT) > 0)
		got++;
	CHECK(got >= 1 && got < 20);
	EQ(errno, EAGAIN);
	EQ(set_up(fd, 1, 1), 0); /* and goes on after that */
	CHECK(recv(ear, answer, sizeof answer, MSG_DONTWAIT) > 0);
}

TEST(rights)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	EQ(set_up(fd, 1, 1), 0);
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		int own = nl_open(NETLINK_ROUTE);
		EQ(set_up(own, 1, 0), EPERM);
		EQ(change_address(own, RTM_NEWADDR, NLM_F_CREATE, 1, "10.1.2.3", 24), EPERM);
		EQ(change_route(own, RTM_NEWROUTE, NLM_F_CREATE, "10.0.0.0", 8, NULL, 1, 0), EPERM);
		EQ(ask_link(own, 1, NULL), 0); /* questions are free */
		struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
		int ear = nl_open(NETLINK_ROUTE);
		OK(bind(ear, (struct sockaddr *)&nl, sizeof nl)); /* and so is listening */
		nl.nl_groups = 0;
		nl.nl_pid = 1;
		ERR(connect(own, (struct sockaddr *)&nl, sizeof nl), EPERM);
		ERR(sendto(own, "hallo", 5, 0, (struct sockaddr *)&nl, sizeof nl), EPERM);
	}
}

TEST(between_processes)
{
	int a = nl_open(NETLINK_USERSOCK), b = nl_open(NETLINK_USERSOCK), c = nl_open(NETLINK_USERSOCK), on = 1;
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_pid = 0x1234567}, from;
	OK(bind(a, (struct sockaddr *)&nl, sizeof nl));
	OK(setsockopt(a, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	EQ(OK(sendto(b, "hallo", 5, 0, (struct sockaddr *)&nl, sizeof nl)), 5);
	char buf[16], control[64];
	struct iovec iov = {buf, sizeof buf};
	struct msghdr msg = {&from, sizeof from, &iov, 1, control, sizeof control, 0};
	EQ(OK(recvmsg(a, &msg, 0)), 5);
	struct ucred *who = (struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
	EQ(CMSG_FIRSTHDR(&msg)->cmsg_type, SCM_CREDENTIALS);
	EQ(who->pid, getpid());
	EQ(who->uid, getuid());
	socklen_t size = sizeof nl;
	OK(getsockname(b, (struct sockaddr *)&nl, &size));
	EQ(from.nl_pid, nl.nl_pid);
	nl.nl_pid = 0x7654321;
	ERR(sendto(b, "hallo", 5, 0, (struct sockaddr *)&nl, sizeof nl), ECONNREFUSED);
	nl.nl_pid = 0;
	ERR(sendto(b, "hallo", 5, 0, (struct sockaddr *)&nl, sizeof nl), ECONNREFUSED); /* no kernel side */
	nl.nl_pid = 0;
	nl.nl_groups = 4;
	if (bind(c, (struct sockaddr *)&nl, sizeof nl) == 0 && geteuid() == 0) {
		/* after the group the port is served, and 0 is the kernel */
		ERR(sendto(b, "all", 3, 0, (struct sockaddr *)&(struct sockaddr_nl){AF_NETLINK, 0, 0, 4}, sizeof nl), ECONNREFUSED);
		EQ(OK(recvfrom(c, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&from, &size)), 3);
		EQ(from.nl_groups, 4);
	}
}

TEST(events_of_devices)
{
	int fd = nl_open(NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = 1};
	OK(bind(fd, (struct sockaddr *)&nl, sizeof nl));
	struct pollfd p = {fd, POLLIN, 0};
	CHECK(poll(&p, 1, 0) >= 0);
}

TEST(families)
{
	int fd = nl_open(NETLINK_GENERIC);
	struct request r;
	struct genlmsghdr *g = begin(&r, GENL_ID_CTRL, 0, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY;
	g->version = 1;
	put_text(&r, CTRL_ATTR_FAMILY_NAME, "nlctrl");
	nl_send(fd, &r);
	nl_read(fd);
	EQ(first()->nlmsg_type, GENL_ID_CTRL);
	EQ(*(unsigned short *)attribute(first(), sizeof *g, CTRL_ATTR_FAMILY_ID, NULL), GENL_ID_CTRL);
	STR(attribute(first(), sizeof *g, CTRL_ATTR_FAMILY_NAME, NULL), "nlctrl");
	g = begin(&r, GENL_ID_CTRL, 0, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY;
	put_text(&r, CTRL_ATTR_FAMILY_NAME, "nobody");
	EQ(ask(fd, &r), ENOENT);
	g = begin(&r, GENL_ID_CTRL, 0, sizeof *g);
	g->cmd = CTRL_CMD_GETFAMILY;
	CHECK(dump(fd, &r, NULL) >= 1);
	begin(&r, 0x777, 0, sizeof *g);
	EQ(ask(fd, &r), ENOENT);
}

TEST(long_dump)
{
	alone();
	int fd = nl_open(NETLINK_ROUTE);
	struct request r;
	EQ(set_up(fd, 1, 1), 0);
	for (int i = 0; i < 200; i++) {
		char text[32];
		snprintf(text, sizeof text, "10.3.%d.%d", i / 100, i % 100 + 1);
		EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, text, 32), 0);
	}
	fd = nl_open(NETLINK_ROUTE);
	begin(&r, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	nl_send(fd, &r);
	int found = 0, pieces = 0, done = 0;
	while (!done) {
		ssize_t n = OK(recv(fd, answer, 4096, MSG_TRUNC)); /* no piece is longer than a small reader's buffer */
		CHECK(n <= 4096);
		pieces++;
		for (struct nlmsghdr *h = first(); NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			h->nlmsg_type == NLMSG_DONE ? (done = 1) : found++;
	}
	EQ(found, 202);
	CHECK(pieces > 2);
	int second = nl_open(NETLINK_ROUTE);
	nl_send(second, &r);
	r.head.nlmsg_seq = ++sequence;
	nl_send(second, &r); /* one dump at a time */
	int refused = 0;
	for (done = 0; !done;) {
		ssize_t n = nl_read(second);
		for (struct nlmsghdr *h = first(); NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			done |= h->nlmsg_type == NLMSG_DONE;
			if (h->nlmsg_type == NLMSG_ERROR)
				refused += ((struct nlmsgerr *)NLMSG_DATA(h))->error == -EBUSY;
		}
	}
	EQ(refused, 1);
}
