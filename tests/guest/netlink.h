/* netlink.h: requests to rtnetlink(7) and sock_diag(7), and what is answered. */
#ifndef NETLINK_H
#define NETLINK_H
#include "check.h"
#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <sys/socket.h>

#define BUFFER 65536

struct request {
	struct nlmsghdr head;
	char body[2048];
};

static unsigned sequence = 100;
static char answer[BUFFER];

static inline int nl_open(int protocol)
{
	return OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

static inline void *begin(struct request *r, int type, int flags, size_t fixed)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = NLM_F_REQUEST | flags;
	r->head.nlmsg_seq = ++sequence;
	r->head.nlmsg_len = NLMSG_SPACE(fixed);
	return r->body;
}

static inline struct nlattr *put(struct request *r, int type, const void *data, size_t size)
{
	struct nlattr *a = (struct nlattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));
	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + size;
	if (size)
		memcpy((char *)a + NLA_HDRLEN, data, size);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + NLA_ALIGN(a->nla_len);
	return a;
}

static inline void put_u32(struct request *r, int type, unsigned value)
{
	put(r, type, &value, sizeof value);
}

static inline void put_text(struct request *r, int type, const char *text)
{
	put(r, type, text, strlen(text) + 1);
}

static inline void close_nest(struct request *r, struct nlattr *a)
{
	a->nla_len = (char *)r + r->head.nlmsg_len - (char *)a;
}

static inline void nl_send(int fd, struct request *r)
{
	EQ(send(fd, r, r->head.nlmsg_len, 0), r->head.nlmsg_len);
}

static inline ssize_t nl_read(int fd)
{
	memset(answer, 0, 64);
	return OK(recv(fd, answer, sizeof answer, 0));
}

static inline struct nlmsghdr *first(void)
{
	return (struct nlmsghdr *)answer;
}

/* The error of an acknowledgement, 0 for none; any other answer is a failure. */
static inline int ask(int fd, struct request *r)
{
	r->head.nlmsg_flags |= NLM_F_ACK;
	nl_send(fd, r);
	nl_read(fd);
	EQ(first()->nlmsg_type, NLMSG_ERROR);
	EQ(first()->nlmsg_seq, r->head.nlmsg_seq);
	return -((struct nlmsgerr *)NLMSG_DATA(first()))->error;
}

/* An attribute of a message whose own header has `fixed` bytes; NULL when it is not there. */
static inline const void *attribute(const struct nlmsghdr *h, size_t fixed, int type, int *size)
{
	const char *at = (const char *)NLMSG_DATA(h) + NLMSG_ALIGN(fixed), *end = (const char *)h + h->nlmsg_len;
	while (end - at >= NLA_HDRLEN) {
		const struct nlattr *a = (const struct nlattr *)at;
		if (a->nla_len < NLA_HDRLEN || a->nla_len > end - at)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type) {
			if (size)
				*size = a->nla_len - NLA_HDRLEN;
			return at + NLA_HDRLEN;
		}
		at += NLA_ALIGN(a->nla_len);
	}
	return NULL;
}

static inline unsigned number(const struct nlmsghdr *h, size_t fixed, int type)
{
	int size = 0;
	const void *p = attribute(h, fixed, type, &size);
	CHECK(p && size >= 4);
	unsigned value;
	memcpy(&value, p, 4);
	return value;
}

/* Run `each` on every message of a dump; how many there were. */
static inline int dump(int fd, struct request *r, void (*each)(struct nlmsghdr *))
{
	int found = 0;
	r->head.nlmsg_flags |= NLM_F_DUMP;
	nl_send(fd, r);
	for (;;) {
		ssize_t n = nl_read(fd);
		for (struct nlmsghdr *h = first(); NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			EQ(h->nlmsg_seq, r->head.nlmsg_seq);
			if (h->nlmsg_type == NLMSG_DONE) {
				int error = *(int *)NLMSG_DATA(h);
				return error ? error : found;
			}
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			CHECK(h->nlmsg_flags & NLM_F_MULTI);
			found++;
			if (each)
				each(h);
		}
	}
}

/* A network namespace of the test's own. */
static inline void alone(void)
{
	NEED_ROOT();
	if (unshare(CLONE_NEWNET))
		SKIP("no network namespaces");
}

static inline int set_up(int fd, int index, int up)
{
	struct request r;
	struct ifinfomsg *link = begin(&r, RTM_NEWLINK, 0, sizeof *link);
	link->ifi_index = index;
	link->ifi_change = IFF_UP;
	link->ifi_flags = up ? IFF_UP : 0;
	return ask(fd, &r);
}

static inline int change_address(int fd, int type, int flags, int index, const char *text, int prefix)
{
	struct request r;
	struct ifaddrmsg *addr = begin(&r, type, flags, sizeof *addr);
	unsigned char raw[16];
	addr->ifa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	addr->ifa_prefixlen = prefix;
	addr->ifa_index = index;
	EQ(inet_pton(addr->ifa_family, text, raw), 1);
	put(&r, IFA_LOCAL, raw, addr->ifa_family == AF_INET ? 4 : 16);
	put(&r, IFA_ADDRESS, raw, addr->ifa_family == AF_INET ? 4 : 16);
	return ask(fd, &r);
}

static inline int add_veth(int fd, const char *name, const char *peer)
{
	struct request r;
	begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put_text(&r, IFLA_IFNAME, name);
	struct nlattr *info = put(&r, IFLA_LINKINFO, NULL, 0);
	put_text(&r, IFLA_INFO_KIND, "veth");
	struct nlattr *data = put(&r, IFLA_INFO_DATA, NULL, 0);
	struct ifinfomsg none = {0};
	struct nlattr *other = put(&r, VETH_INFO_PEER, &none, sizeof none);
	put_text(&r, IFLA_IFNAME, peer);
	close_nest(&r, other);
	close_nest(&r, data);
	close_nest(&r, info);
	return ask(fd, &r);
}

#endif
