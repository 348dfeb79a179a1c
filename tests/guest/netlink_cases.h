/* What netlink.c and netlink_more.c share. */
#ifndef NETLINK_CASES_H
#define NETLINK_CASES_H
#include "netlink.h"
#include <ifaddrs.h>
#include <linux/genetlink.h>
#include <poll.h>

extern unsigned if_nametoindex(const char *);
extern char *if_indextoname(unsigned, char *);

static __attribute__((unused)) int los, link_count;

static inline void see_link(struct nlmsghdr *h)
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

static inline int ask_link(int fd, int index, const char *name)
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

static __attribute__((unused)) int four, six;

static inline void see_address(struct nlmsghdr *h)
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

static inline int change_route(int fd, int type, int flags, const char *dst, int prefix, const char *via, int oif, unsigned metric)
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

static __attribute__((unused)) int statics;

static inline void see_route(struct nlmsghdr *h)
{
	struct rtmsg *rt = NLMSG_DATA(h);
	EQ(h->nlmsg_type, RTM_NEWROUTE);
	statics += rt->rtm_protocol == RTPROT_STATIC;
	EQ(number(h, sizeof *rt, RTA_TABLE), rt->rtm_table);
}

static inline int lookup(int fd, const char *dst)
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

static __attribute__((unused)) int rule_count;

static inline void see_rule(struct nlmsghdr *h)
{
	EQ(h->nlmsg_type, RTM_NEWRULE);
	rule_count++;
}
#endif
