/* sock_diag(7): sockets of the internet, unix and netlink families, as ss(8) asks for them. */
#include "netlink.h"
#include <linux/inet_diag.h>
#include <linux/netlink_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/un.h>

#define LISTENING 10
#define ANY 0xffffffff
#define STATES 0xfff /* newer kernels have a thirteenth, for sockets that are only bound */

static unsigned inode_of(int fd)
{
	struct stat st;
	OK(fstat(fd, &st));
	return st.st_ino;
}

static struct inet_diag_msg found[64];
static int count;

static void keep(struct nlmsghdr *h)
{
	EQ(h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
	CHECK(count < 64);
	memcpy(&found[count++], NLMSG_DATA(h), sizeof *found);
}

static struct inet_diag_msg *by_inode(unsigned inode)
{
	for (int i = 0; i < count; i++)
		if (found[i].idiag_inode == inode)
			return &found[i];
	return NULL;
}

static int list(int fd, int family, int protocol, unsigned states)
{
	struct request r;
	struct inet_diag_req_v2 *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = family;
	q->sdiag_protocol = protocol;
	q->idiag_states = states;
	count = 0;
	return dump(fd, &r, keep);
}

static int bound(int family, int type, int port)
{
	int s = OK(socket(family, type, 0));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	OK(bind(s, family == AF_INET ? (struct sockaddr *)&in : (struct sockaddr *)&in6, family == AF_INET ? sizeof in : sizeof in6));
	return s;
}

TEST(tcp)
{
	alone();
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	int fd = nl_open(NETLINK_SOCK_DIAG), s = bound(AF_INET, SOCK_STREAM, 4242), six = bound(AF_INET6, SOCK_STREAM, 4343);
	EQ(list(fd, AF_INET, IPPROTO_TCP, STATES), 0); /* bound alone is not listed */
	OK(listen(s, 7));
	OK(listen(six, 7));
	EQ(list(fd, AF_INET, IPPROTO_TCP, STATES), 1);
	EQ(list(fd, AF_INET6, IPPROTO_TCP, STATES), 1);
	EQ(found[0].idiag_inode, inode_of(six));
	EQ(found[0].idiag_family, AF_INET6);
	EQ(ntohs(found[0].id.idiag_sport), 4343);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int a = OK(socket(AF_INET, SOCK_STREAM, 0)), waiting = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(a, (struct sockaddr *)&in, sizeof in));
	int b = OK(accept(s, NULL, NULL));
	OK(connect(waiting, (struct sockaddr *)&in, sizeof in));
	EQ(write(a, "abc", 3), 3);
	sleep_ms(50);
	EQ(list(fd, AF_INET, IPPROTO_TCP, STATES), 5);
	struct inet_diag_msg *m = by_inode(inode_of(s));
	CHECK(m);
	EQ(m->idiag_state, LISTENING);
	EQ(ntohs(m->id.idiag_sport), 4242);
	EQ(m->id.idiag_src[0], htonl(INADDR_LOOPBACK));
	EQ(m->idiag_rqueue, 1); /* one waits to be accepted */
	EQ(m->idiag_wqueue, 7);
	EQ(m->idiag_uid, getuid());
	m = by_inode(inode_of(b));
	CHECK(m);
	EQ(m->idiag_state, TCP_ESTABLISHED);
	EQ(m->idiag_rqueue, 3);
	EQ(ntohs(m->id.idiag_sport), 4242);
	struct inet_diag_msg saved = *m;
	CHECK(by_inode(inode_of(a)));
	CHECK(by_inode(0)); /* whom nobody has accepted yet */
	EQ(list(fd, AF_INET, IPPROTO_TCP, 1 << LISTENING), 1);
	EQ(list(fd, AF_INET, IPPROTO_TCP, 1 << TCP_ESTABLISHED), 4);
	struct request r;
	struct inet_diag_req_v2 *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = AF_INET;
	q->sdiag_protocol = IPPROTO_TCP;
	q->idiag_states = ANY;
	q->idiag_ext = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_CONG - 1) | 1 << (INET_DIAG_SKMEMINFO - 1);
	q->id = saved.id;
	nl_send(fd, &r); /* one alone */
	nl_read(fd);
	EQ(first()->nlmsg_type, SOCK_DIAG_BY_FAMILY);
	EQ(((struct inet_diag_msg *)NLMSG_DATA(first()))->idiag_inode, inode_of(b));
	int size = 0;
	const struct tcp_info *info = attribute(first(), sizeof *m, INET_DIAG_INFO, &size);
	CHECK(info && size >= (int)sizeof *info);
	EQ(info->tcpi_state, TCP_ESTABLISHED);
	CHECK(attribute(first(), sizeof *m, INET_DIAG_CONG, NULL));
	CHECK(attribute(first(), sizeof *m, INET_DIAG_SKMEMINFO, &size));
	EQ(size, 9 * 4);
	q->id.idiag_sport = htons(999);
	EQ(ask(fd, &r), ENOENT);
}

TEST(programs)
{
	alone();
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	int fd = nl_open(NETLINK_SOCK_DIAG);
	for (int port = 5000; port < 5010; port++)
		OK(listen(bound(AF_INET, SOCK_STREAM, port), 1));
	for (int round = 0; round < 3; round++) {
		struct request r;
		struct inet_diag_req_v2 *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
		q->sdiag_family = AF_INET;
		q->sdiag_protocol = IPPROTO_TCP;
		q->idiag_states = ANY;
		/* ports from 5003 on, and up to 5006 */
		struct inet_diag_bc_op ops[] = {
			{INET_DIAG_BC_S_GE, 8, 20}, {0, 0, 5003}, {INET_DIAG_BC_S_LE, 8, 12}, {0, 0, 5006},
		};
		if (round == 1)
			ops[0].yes = 3; /* no whole operation */
		if (round == 2)
			ops[2].no = 400; /* out of the program */
		put(&r, INET_DIAG_REQ_BYTECODE, ops, sizeof ops);
		count = 0;
		if (round == 0)
			EQ(dump(fd, &r, keep), 4);
		else
			EQ(dump(fd, &r, keep), -EINVAL);
	}
}

TEST(datagrams)
{
	alone();
	EQ(set_up(nl_open(NETLINK_ROUTE), 1, 1), 0);
	int fd = nl_open(NETLINK_SOCK_DIAG), u = bound(AF_INET, SOCK_DGRAM, 4242), v = bound(AF_INET6, SOCK_DGRAM, 4343);
	int raw = OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), unbound = OK(socket(AF_INET, SOCK_DGRAM, 0));
	EQ(list(fd, AF_INET, IPPROTO_UDP, ANY), 1);
	EQ(found[0].idiag_inode, inode_of(u));
	EQ(found[0].idiag_state, 7);
	EQ(ntohs(found[0].id.idiag_sport), 4242);
	EQ(list(fd, AF_INET6, IPPROTO_UDP, ANY), 1);
	EQ(found[0].idiag_inode, inode_of(v));
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	OK(connect(unbound, (struct sockaddr *)&in, sizeof in));
	OK(send(unbound, "hallo", 5, 0));
	EQ(list(fd, AF_INET, IPPROTO_UDP, ANY), 2);
	struct inet_diag_msg *m = by_inode(inode_of(unbound));
	CHECK(m);
	EQ(m->idiag_state, TCP_ESTABLISHED);
	EQ(ntohs(m->id.idiag_dport), 4242);
	CHECK(by_inode(inode_of(u))->idiag_rqueue > 0);
	int raws = list(fd, AF_INET, IPPROTO_RAW, ANY);
	if (raws != -ENOENT) { /* raw_diag is a module of its own */
		EQ(raws, 1);
		EQ(found[0].idiag_inode, inode_of(raw));
	}
	struct request r;
	struct inet_diag_req_v2 *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = AF_APPLETALK;
	EQ(ask(fd, &r), ENOENT);
}

static struct unix_diag_msg unix_found[64];
static char names[64][128];
static unsigned peers[64];

static void keep_unix(struct nlmsghdr *h)
{
	int size = 0;
	CHECK(count < 64);
	memcpy(&unix_found[count], NLMSG_DATA(h), sizeof *unix_found);
	const char *name = attribute(h, sizeof *unix_found, UNIX_DIAG_NAME, &size);
	if (name)
		memcpy(names[count], name, size);
	const unsigned *peer = attribute(h, sizeof *unix_found, UNIX_DIAG_PEER, NULL);
	peers[count++] = peer ? *peer : 0;
}

TEST(local)
{
	alone();
	int fd = nl_open(NETLINK_SOCK_DIAG), pair[2], s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0here"};
	OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	OK(bind(s, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 5));
	OK(listen(s, 3));
	struct request r;
	struct unix_diag_req *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = AF_UNIX;
	q->udiag_states = ANY;
	q->udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN;
	count = 0;
	EQ(dump(fd, &r, keep_unix), 3);
	int seen = 0;
	for (int i = 0; i < count; i++) {
		if (unix_found[i].udiag_ino == inode_of(s)) {
			EQ(unix_found[i].udiag_state, LISTENING);
			EQ(unix_found[i].udiag_type, SOCK_STREAM);
			CHECK(!memcmp(names[i], "\0here", 5));
			seen |= 1;
		} else if (unix_found[i].udiag_ino == inode_of(pair[0])) {
			EQ(unix_found[i].udiag_state, TCP_ESTABLISHED);
			EQ(peers[i], inode_of(pair[1]));
			seen |= 2;
		}
	}
	EQ(seen, 3);
	q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = AF_UNIX;
	q->udiag_ino = inode_of(s);
	q->udiag_cookie[0] = q->udiag_cookie[1] = ANY;
	nl_send(fd, &r);
	nl_read(fd);
	EQ(first()->nlmsg_type, SOCK_DIAG_BY_FAMILY);
	q->udiag_ino = 1234567;
	EQ(ask(fd, &r), ENOENT);
}

static int mine;

static void see_netlink(struct nlmsghdr *h)
{
	struct netlink_diag_msg *m = NLMSG_DATA(h);
	EQ(m->ndiag_family, AF_NETLINK);
	mine += m->ndiag_protocol == NETLINK_ROUTE && m->ndiag_portid == (unsigned)getpid();
}

TEST(netlink_itself)
{
	alone();
	int fd = nl_open(NETLINK_SOCK_DIAG), route = nl_open(NETLINK_ROUTE);
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
	struct request r;
	OK(bind(route, (struct sockaddr *)&nl, sizeof nl));
	struct netlink_diag_req *q = begin(&r, SOCK_DIAG_BY_FAMILY, 0, sizeof *q);
	q->sdiag_family = AF_NETLINK;
	q->sdiag_protocol = NDIAG_PROTO_ALL;
	int found_all = dump(fd, &r, see_netlink);
	if (found_all == -ENOENT)
		SKIP("no netlink_diag");
	EQ(mine, 1);
}
