/* tcp.h: sockets of the loopback, as the tests of tcp(7) want them. */
#ifndef TCP_H
#define TCP_H
#include "net.h"
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0x2000
#endif
#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLWRNORM)
static char buf[1 << 20] __attribute__((unused));

static inline struct sockaddr_in v4(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	EQ(inet_pton(AF_INET, host, &a.sin_addr), 1);
	return a;
}

static inline struct sockaddr_in6 v6(const char *host, int port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	EQ(inet_pton(AF_INET6, host, &a.sin6_addr), 1);
	return a;
}

#define BIND(s, a)                                                                                                            \
	({                                                                                                                     \
		__typeof__(a) bind_a = (a);                                                                                    \
		bind(s, (struct sockaddr *)&bind_a, sizeof bind_a);                                                            \
	})
#define CONNECT(s, a)                                                                                                         \
	({                                                                                                                     \
		__typeof__(a) conn_a = (a);                                                                                    \
		connect(s, (struct sockaddr *)&conn_a, sizeof conn_a);                                                         \
	})

static inline int tcp(void)
{
	return OK(socket(AF_INET, SOCK_STREAM, 0));
}

static inline int tcp6(void)
{
	return OK(socket(AF_INET6, SOCK_STREAM, 0));
}

static inline int listener(int *port, int backlog)
{
	int l = tcp();
	OK(BIND(l, v4("127.0.0.1", 0)));
	OK(listen(l, backlog));
	*port = port_of(l);
	return l;
}

static inline void pair(int s[2])
{
	int port, l = listener(&port, 5);
	s[0] = tcp();
	OK(CONNECT(s[0], v4("127.0.0.1", port)));
	s[1] = OK(accept(l, NULL, NULL));
	OK(close(l));
}

static inline int bits(int s)
{
	struct pollfd p = {.fd = s, .events = ALL};
	OK(poll(&p, 1, 0));
	return p.revents;
}

/* The bits come, if not at once: over a network they take their time. */
#define BITS(s, expected)                                                                                                     \
	do {                                                                                                                   \
		for (int bits_i = 0; bits_i < 200 && bits(s) != (expected); bits_i++)                                         \
			sleep_ms(5);                                                                                           \
		EQ(bits(s), (expected));                                                                                       \
	} while (0)

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

static inline void nonblock(int s)
{
	OK(fcntl(s, F_SETFL, OK(fcntl(s, F_GETFL)) | O_NONBLOCK));
}

static inline void reset(int s)
{
	struct linger hard = {1, 0};
	OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
	OK(close(s));
}
#endif
