/* net.h: addresses, and a network namespace of one's own with nothing but the loopback. */
#ifndef NET_H
#define NET_H
#include "check.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage ss;
};

/* On the host a case must not meet the host's own sockets; in a sandbox there is a network of its own already. */
static inline void own_net(void)
{
	const char *where = getenv("GUEST_IN");
	if (where && !strcmp(where, "sandbox"))
		return;
	if (unshare(CLONE_NEWNET) == -1)
		SKIP("no network namespace of its own");
	int s = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct ifreq ifr = {.ifr_name = "lo"};
	OK(ioctl(s, SIOCGIFFLAGS, &ifr));
	ifr.ifr_flags |= IFF_UP;
	OK(ioctl(s, SIOCSIFFLAGS, &ifr));
	OK(close(s));
}

static inline union address in4(const char *host, int port)
{
	union address a = {.in = {.sin_family = AF_INET, .sin_port = htons(port)}};
	EQ(inet_pton(AF_INET, host, &a.in.sin_addr), 1);
	return a;
}

static inline union address in6(const char *host, int port)
{
	union address a = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
	EQ(inet_pton(AF_INET6, host, &a.in6.sin6_addr), 1);
	return a;
}

static inline union address addr(const char *host, int port)
{
	return strchr(host, ':') ? in6(host, port) : in4(host, port);
}

static inline socklen_t len_of(union address a)
{
	return a.sa.sa_family == AF_INET ? sizeof a.in : sizeof a.in6;
}

static inline int port_of(int s)
{
	union address a;
	socklen_t n = sizeof a;
	OK(getsockname(s, &a.sa, &n));
	return ntohs(a.sa.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
}

/* The text of an address, as "127.0.0.1:80" or "[::1]:80". */
static inline const char *text(union address a)
{
	static char bufs[4][80];
	static int turn;
	char host[64], *buf = bufs[turn++ & 3];
	if (a.sa.sa_family == AF_INET)
		snprintf(buf, 80, "%s:%d", inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof host), ntohs(a.in.sin_port));
	else if (a.sa.sa_family == AF_INET6)
		snprintf(buf, 80, "[%s]:%d", inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof host), ntohs(a.in6.sin6_port));
	else
		snprintf(buf, 80, "family %d", a.sa.sa_family);
	return buf;
}

static inline const char *local_of(int s)
{
	union address a = {0};
	socklen_t n = sizeof a;
	OK(getsockname(s, &a.sa, &n));
	EQ(n, len_of(a));
	return text(a);
}

static inline const char *peer_of(int s)
{
	union address a = {0};
	socklen_t n = sizeof a;
	OK(getpeername(s, &a.sa, &n));
	return text(a);
}

static inline int udp(int family)
{
	return OK(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static inline int bind_to(int s, const char *host, int port)
{
	union address a = addr(host, port);
	return bind(s, &a.sa, len_of(a));
}

static inline int connect_to(int s, const char *host, int port)
{
	union address a = addr(host, port);
	return connect(s, &a.sa, len_of(a));
}

static inline ssize_t send_to(int s, const void *data, size_t size, const char *host, int port)
{
	union address a = addr(host, port);
	return sendto(s, data, size, 0, &a.sa, len_of(a));
}

static inline int udp_at(const char *host)
{
	int s = udp(strchr(host, ':') ? AF_INET6 : AF_INET);
	OK(bind_to(s, host, 0));
	return s;
}

static inline void set(int s, int level, int name, int value)
{
	OK(setsockopt(s, level, name, &value, sizeof value));
}

static inline int get(int s, int level, int name)
{
	int value = -77;
	socklen_t n = sizeof value;
	OK(getsockopt(s, level, name, &value, &n));
	return value;
}

/* The next message within two seconds; its size, its sender in `from`. */
static inline ssize_t next(int s, void *buf, size_t size, union address *from)
{
	struct pollfd p = {s, POLLIN, 0};
	socklen_t n = sizeof *from;
	EQ(poll(&p, 1, 2000), 1);
	return recvfrom(s, buf, size, MSG_DONTWAIT, from ? &from->sa : NULL, from ? &n : NULL);
}

static inline void gets_text(int s, const char *expected)
{
	char buf[2048] = "";
	ssize_t n = OK(next(s, buf, sizeof buf - 1, NULL));
	buf[n] = 0;
	STR(buf, expected);
}

static inline void gets_nothing(int s)
{
	char c;
	sleep_ms(20);
	ERR(recv(s, &c, 1, MSG_DONTWAIT), EAGAIN);
}

static inline int poll_now(int s, int events, int wait_ms)
{
	struct pollfd p = {s, events, 0};
	OK(poll(&p, 1, wait_ms));
	return p.revents;
}

/* recvmsg with room for control messages; the found one, or NULL. */
struct received {
	char data[2048], control[1024];
	union address name;
	struct iovec iov;
	struct msghdr msg;
	ssize_t size;
};

static inline ssize_t receive_msg(int s, struct received *r, int flags)
{
	memset(r, 0, sizeof *r);
	r->iov = (struct iovec){r->data, sizeof r->data};
	r->msg = (struct msghdr){.msg_name = &r->name, .msg_namelen = sizeof r->name, .msg_iov = &r->iov, .msg_iovlen = 1,
				 .msg_control = r->control, .msg_controllen = sizeof r->control};
	if (!(flags & MSG_ERRQUEUE))
		poll_now(s, POLLIN, 2000);
	return r->size = recvmsg(s, &r->msg, flags | MSG_DONTWAIT);
}

static inline void *control(struct received *r, int level, int kind, size_t size)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&r->msg); c; c = CMSG_NXTHDR(&r->msg, c))
		if (c->cmsg_level == level && c->cmsg_type == kind) {
			if (size)
				EQ(c->cmsg_len, CMSG_LEN(size));
			return CMSG_DATA(c);
		}
	return NULL;
}

/* sendmsg with one control message. */
static inline ssize_t send_with(int s, union address to, const char *data, int level, int kind, const void *body, size_t size)
{
	char buf[256] = {0};
	struct iovec iov = {(char *)data, strlen(data)};
	struct msghdr m = {.msg_name = &to.sa, .msg_namelen = len_of(to), .msg_iov = &iov, .msg_iovlen = 1,
			   .msg_control = buf, .msg_controllen = CMSG_SPACE(size)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = level;
	c->cmsg_type = kind;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), body, size);
	return sendmsg(s, &m, 0);
}
#endif
