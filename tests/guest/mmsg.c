/* sendmmsg(2), recvmmsg(2): several messages with one call. */
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

static struct mmsghdr *vector(int n, struct iovec *iov, char (*bufs)[64], int size)
{
	static struct mmsghdr v[16];
	memset(v, 0, sizeof v);
	for (int i = 0; i < n; i++) {
		iov[i] = (struct iovec){bufs[i], size};
		v[i].msg_hdr.msg_iov = &iov[i];
		v[i].msg_hdr.msg_iovlen = 1;
		v[i].msg_len = 77;
	}
	return v;
}

static char out[16][64], in[16][64];
static struct iovec iov_out[16], iov_in[16];

static struct mmsghdr *texts(int n)
{
	struct mmsghdr *v;
	for (int i = 0; i < n; i++)
		snprintf(out[i], sizeof out[i], "message %d", i);
	v = vector(n, iov_out, out, 0);
	for (int i = 0; i < n; i++)
		iov_out[i].iov_len = strlen(out[i]);
	return v;
}

static void pair(int type, int *s)
{
	OK(socketpair(AF_UNIX, type, 0, s));
}

TEST(there_and_back)
{
	int s[2], types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
	for (int k = 0; k < 2; k++) {
		pair(types[k], s);
		struct mmsghdr *v = texts(4);
		EQ(sendmmsg(s[0], v, 4, 0), 4);
		for (int i = 0; i < 4; i++)
			EQ(v[i].msg_len, strlen(out[i]));
		memset(in, 0, sizeof in);
		v = vector(6, iov_in, in, 64);
		EQ(recvmmsg(s[1], v, 6, MSG_DONTWAIT, NULL), 4); /* as many as there are */
		for (int i = 0; i < 4; i++) {
			EQ(v[i].msg_len, strlen(out[i]));
			STR(in[i], out[i]);
			EQ(v[i].msg_hdr.msg_flags, 0);
		}
		EQ(v[4].msg_len, 77);
		ERR(recvmmsg(s[1], v, 6, MSG_DONTWAIT, NULL), EAGAIN);
		OK(close(s[0]));
		OK(close(s[1]));
	}
}

TEST(what_the_first_ends)
{
	int s[2];
	pair(SOCK_DGRAM, s);
	EQ(sendmmsg(s[0], texts(2), 2, 0), 2);
	struct mmsghdr *v = vector(5, iov_in, in, 64);
	EQ(recvmmsg(s[1], v, 5, MSG_WAITFORONE, NULL), 2); /* waits for the first only */
	EQ(sendmmsg(s[0], texts(3), 3, 0), 3);
	v = vector(2, iov_in, in, 64);
	EQ(recvmmsg(s[1], v, 2, 0, NULL), 2); /* no more than asked for */
	EQ(recvmmsg(s[1], v, 1, 0, NULL), 1);
	pid_t child = OK(fork());
	if (child == 0) {
		for (int i = 0; i < 3; i++) {
			sleep_ms(30);
			EQ(send(s[0], "late", 4, 0), 4);
		}
		_exit(0);
	}
	v = vector(3, iov_in, in, 64);
	EQ(recvmmsg(s[1], v, 3, 0, NULL), 3); /* without a flag it waits for all */
	REAP_OK(child);
	child = OK(fork());
	if (child == 0) {
		sleep_ms(30);
		EQ(send(s[0], "one", 3, 0), 3);
		_exit(0);
	}
	EQ(recvmmsg(s[1], v, 3, MSG_WAITFORONE, NULL), 1);
	REAP_OK(child);
}

TEST(cut_messages)
{
	int s[2];
	pair(SOCK_DGRAM, s);
	EQ(sendmmsg(s[0], texts(2), 2, 0), 2);
	struct mmsghdr *v = vector(2, iov_in, in, 4);
	EQ(recvmmsg(s[1], v, 2, 0, NULL), 2);
	EQ(v[0].msg_len, 4);
	EQ(v[0].msg_hdr.msg_flags, MSG_TRUNC);
	EQ(sendmmsg(s[0], texts(1), 1, 0), 1);
	v = vector(1, iov_in, in, 4);
	EQ(recvmmsg(s[1], v, 1, MSG_TRUNC, NULL), 1);
	EQ(v[0].msg_len, strlen(out[0]));
}

TEST(a_stream)
{
	int s[2];
	pair(SOCK_STREAM, s);
	EQ(sendmmsg(s[0], texts(3), 3, 0), 3);
	struct mmsghdr *v = vector(4, iov_in, in, 10);
	EQ(recvmmsg(s[1], v, 4, MSG_DONTWAIT, NULL), 3);
	EQ(v[0].msg_len, 10);
	EQ(v[2].msg_len, 7);
	OK(close(s[0]));
	v = vector(1, iov_in, in, 10);
	EQ(recvmmsg(s[1], v, 1, 0, NULL), 1); /* the end of the stream is a message of nothing */
	EQ(v[0].msg_len, 0);
}

TEST(timeouts)
{
	int s[2];
	struct timespec ts = {10, 0};
	pair(SOCK_DGRAM, s);
	EQ(sendmmsg(s[0], texts(2), 2, 0), 2);
	struct mmsghdr *v = vector(2, iov_in, in, 64);
	EQ(recvmmsg(s[1], v, 2, 0, &ts), 2);
	EQ(ts.tv_sec, 9); /* what was left */
	EQ(sendmmsg(s[0], texts(1), 1, 0), 1);
	ts = (struct timespec){0, 1};
	EQ(recvmmsg(s[1], v, 2, 0, &ts), 1); /* over after the first */
	EQ(sendmmsg(s[0], texts(2), 2, 0), 2);
	ts = (struct timespec){0, 0};
	CHECK(OK(recvmmsg(s[1], v, 2, 0, &ts)) >= 1);
	ts.tv_nsec = 1000000000;
	ERR(recvmmsg(s[1], v, 2, 0, &ts), EINVAL);
	ts = (struct timespec){-1, 0};
	ERR(recvmmsg(s[1], v, 2, 0, &ts), EINVAL);
	ERR(syscall(SYS_recvmmsg, s[1], v, 2, 0, BAD), EFAULT);
	struct timeval tv = {0, 50000};
	while (recv(s[1], out, 64, MSG_DONTWAIT) > 0)
		;
	OK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	ERR(recvmmsg(s[1], v, 2, 0, NULL), EAGAIN);
}

TEST(addresses_and_control)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "a"}, b = {.sun_family = AF_UNIX, .sun_path = "b"}, from[2];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control[2];
	int sa = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), sb = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), p[2];
	OK(bind(sa, (void *)&a, sizeof a));
	OK(bind(sb, (void *)&b, sizeof b));
	OK(pipe(p));
	struct mmsghdr *v = texts(2);
	for (int i = 0; i < 2; i++) {
		v[i].msg_hdr.msg_name = &b;
		v[i].msg_hdr.msg_namelen = sizeof b;
	}
	control[1].head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control[1].head), &p[1], sizeof(int));
	v[1].msg_hdr.msg_control = &control[1];
	v[1].msg_hdr.msg_controllen = sizeof control[1];
	EQ(sendmmsg(sa, v, 2, 0), 2);
	v = vector(2, iov_in, in, 64);
	memset(control, 0, sizeof control);
	for (int i = 0; i < 2; i++) {
		v[i].msg_hdr.msg_name = &from[i];
		v[i].msg_hdr.msg_namelen = sizeof from[i];
		v[i].msg_hdr.msg_control = &control[i];
		v[i].msg_hdr.msg_controllen = sizeof control[i];
	}
	EQ(recvmmsg(sb, v, 2, 0, NULL), 2);
	STR(from[0].sun_path, "a");
	STR(from[1].sun_path, "a");
	EQ(v[0].msg_hdr.msg_controllen, 0);
	EQ(v[1].msg_hdr.msg_controllen, CMSG_SPACE(sizeof(int)));
	int got;
	memcpy(&got, CMSG_DATA(&control[1].head), sizeof got);
	EQ(write(got, "x", 1), 1);
	char c;
	EQ(read(p[0], &c, 1), 1);
}

TEST(errors)
{
	int s[2], p[2];
	pair(SOCK_DGRAM, s);
	OK(pipe(p));
	struct mmsghdr *v = texts(3);
	ERR(sendmmsg(p[1], v, 3, 0), ENOTSOCK);
	ERR(recvmmsg(p[0], v, 3, MSG_DONTWAIT, NULL), ENOTSOCK);
	ERR(sendmmsg(-1, v, 3, 0), EBADF);
	ERR(recvmmsg(999, v, 3, 0, NULL), EBADF);
	EQ(sendmmsg(s[0], v, 0, 0), 0);
	EQ(recvmmsg(s[1], v, 0, MSG_DONTWAIT, NULL), 0);
	ERR(sendmmsg(s[0], BAD, 1, 0), EFAULT);
	iov_out[1].iov_base = BAD;
	EQ(sendmmsg(s[0], v, 3, 0), 1); /* what went before the error counts */
	v = vector(2, iov_in, in, 64);
	EQ(recvmmsg(s[1], v, 2, MSG_DONTWAIT, NULL), 1);
	iov_in[0].iov_base = BAD;
	EQ(send(s[0], "x", 1, 0), 1);
	ERR(recvmmsg(s[1], v, 2, MSG_DONTWAIT, NULL), EFAULT);
	ERR(recvmmsg(s[1], BAD, 1, MSG_DONTWAIT, NULL), EFAULT);
	OK(close(s[1]));
	handle(SIGPIPE, SIG_IGN, 0);
	ERR(sendmmsg(s[0], texts(2), 2, 0), ECONNREFUSED);
	int alone = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	ERR(sendmmsg(alone, texts(2), 2, 0), ENOTCONN);
	EQ(recvmmsg(alone, v, 1, MSG_DONTWAIT, NULL), -1);
}
