/* What the loopback costs two processes: one JSON line, {"us": median}.
 *
 * usage: net NAME      tcp_round_trip tcp6_round_trip udp_round_trip: a byte there and back
 *                      tcp_connect: connect, accept and close of one connection
 *                      tcp_mib_64k tcp_mib_1k: a MiB in writes of that size; udp_1k: a datagram of 1 KiB, answered in tens
 * Built static, as calls.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "measure.h"

#define ROUNDS 9
#define ROUND_NS 150000000ull /* a round goes on for so long; the median of the rounds counts */

static char buffer[1 << 16];
static struct sockaddr_storage place;
static socklen_t place_size;

/* A bound socket on the loopback, whose address is `place`. */
static int bound(int family, int kind)
{
	int s = socket(family, kind, 0);
	need(s >= 0, "socket");
	memset(&place, 0, sizeof place);
	place.ss_family = family;
	if (family == AF_INET)
		((struct sockaddr_in *)&place)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&place)->sin6_addr = in6addr_loopback;
	place_size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	need(bind(s, (struct sockaddr *)&place, place_size) == 0, "bind");
	need(getsockname(s, (struct sockaddr *)&place, &place_size) == 0, "getsockname");
	return s;
}

static int connected(int family, int kind)
{
	int s = socket(family, kind, 0), one = 1;
	need(s >= 0 && connect(s, (struct sockaddr *)&place, place_size) == 0, "connect");
	if (kind == SOCK_STREAM)
		need(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
	return s;
}

/* A stream whose other end is with a child that runs `serve` on it. */
static int stream(int family, void (*serve)(int), pid_t *child)
{
	int l = bound(family, SOCK_STREAM);
	need(listen(l, 5) == 0, "listen");
	*child = fork();
	need(*child >= 0, "fork");
	if (*child == 0) {
		int s = accept(l, NULL, NULL);
		need(s >= 0, "accept");
		close(l);
		serve(s);
		_exit(0);
	}
	close(l);
	return connected(family, SOCK_STREAM);
}

static void echo(int s)
{
	ssize_t n;
	while ((n = read(s, buffer, sizeof buffer)) > 0)
		need(write(s, buffer, n) == n, "write");
}

static void sink(int s) /* tells the end of each MiB */
{
	ssize_t n;
	size_t had = 0;
	while ((n = read(s, buffer, sizeof buffer)) > 0)
		for (had += n; had >= 1 << 20; had -= 1 << 20)
			need(write(s, "", 1) == 1, "write");
}

static void round_trip(int s)
{
	need(write(s, "x", 1) == 1 && read(s, buffer, 1) == 1, "a byte");
}

static size_t piece;
static void mebibyte(int s)
{
	for (size_t done = 0; done < 1 << 20; done += piece)
		need(write(s, buffer, piece) == (ssize_t)piece, "write");
	need(read(s, buffer, 1) == 1, "read");
}

static void answer_tens(int s)
{
	for (int n = 0;; n++) {
		struct sockaddr_storage from;
		socklen_t size = sizeof from;
		ssize_t got = recvfrom(s, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &size);
		need(got >= 0, "recvfrom");
		if (got == 1 || n % 10 == 9)
			need(sendto(s, "", 1, 0, (struct sockaddr *)&from, size) == 1, "sendto");
		if (got == 1)
			n = -1;
	}
}

static void ten_datagrams(int s)
{
	for (int i = 0; i < 10; i++)
		need(write(s, buffer, 1024) == 1024, "write");
	need(read(s, buffer, 1) == 1, "read");
}

static void connect_once(int l)
{
	int s = connected(AF_INET, SOCK_STREAM), a = accept(l, NULL, NULL);
	need(a >= 0, "accept");
	close(s);
	close(a);
}

static int compare(const void *a, const void *b)
{
	double x = *(double *)a, y = *(double *)b;
	return x < y ? -1 : x > y;
}

static double measure(void (*once)(int), int s, int per)
{
	double us[ROUNDS];
	for (int i = 0; i < 20; i++)
		once(s);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned long long began = now_ns(), took;
		int count = 0;
		do {
			once(s);
			count++;
			took = now_ns() - began;
		} while (took < ROUND_NS);
		us[i] = took / 1e3 / count / per;
	}
	qsort(us, ROUNDS, sizeof *us, compare);
	return us[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	const char *name = argc == 2 ? argv[1] : "";
	pid_t child = 0;
	double us;
	if (!strcmp(name, "tcp_round_trip"))
		us = measure(round_trip, stream(AF_INET, echo, &child), 1);
	else if (!strcmp(name, "tcp6_round_trip"))
		us = measure(round_trip, stream(AF_INET6, echo, &child), 1);
	else if (!strncmp(name, "tcp_mib_", 8)) {
		piece = name[8] == '1' ? 1024 : 65536;
		us = measure(mebibyte, stream(AF_INET, sink, &child), 1);
	} else if (!strcmp(name, "tcp_connect")) {
		int l = bound(AF_INET, SOCK_STREAM);
		need(listen(l, 5) == 0, "listen");
		us = measure(connect_once, l, 1);
	} else if (!strncmp(name, "udp_", 4)) {
		int l = bound(AF_INET, SOCK_DGRAM);
		child = fork();
		need(child >= 0, "fork");
		if (child == 0)
			answer_tens(l);
		int s = connected(AF_INET, SOCK_DGRAM), ten = !strcmp(name, "udp_1k");
		us = measure(ten ? ten_datagrams : round_trip, s, ten ? 10 : 1);
		kill(child, 9);
	} else {
		fprintf(stderr, "usage: net NAME\n");
		return 2;
	}
	printf("{\"us\": %.2f}\n", us);
	fflush(stdout);
	return 0;
}
