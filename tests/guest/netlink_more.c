/* As netlink.c: routes, neighbours, rules, links that are made, and who is told. */
#include "netlink_cases.h"

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
