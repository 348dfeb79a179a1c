/* netlink(7), rtnetlink(7): sockets, links, addresses, routes, neighbours, rules, groups. Cases that change something do it in a
 * network namespace of their own. */
#include "netlink_cases.h"

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
