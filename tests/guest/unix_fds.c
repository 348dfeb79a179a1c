/* unix(7), cmsg(3): SCM_RIGHTS and SCM_CREDENTIALS; datagram and seqpacket pairs. */
#include "check.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static int send_fds(int sock, const int *fds, int n, const char *data)
{
	char control[CMSG_SPACE(sizeof(int) * 256)] = {0};
	struct iovec iov = {(void *)data, strlen(data)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return sendmsg(sock, &m, 0);
}

/* The numbers received, and the flags of the message. */
static int recv_fds(int sock, int *fds, int room, int flags, int *msg_flags, ssize_t *bytes)
{
	char control[CMSG_SPACE(sizeof(int) * 256)], data[64];
	struct iovec iov = {data, sizeof data};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room ? CMSG_SPACE(sizeof(int) * room) : 0};
	*bytes = OK(recvmsg(sock, &m, flags));
	*msg_flags = m.msg_flags;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c)
		return 0;
	EQ(c->cmsg_level, SOL_SOCKET);
	EQ(c->cmsg_type, SCM_RIGHTS);
	int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

TEST(pass_a_file)
{
	int s[2], got[8], flags;
	ssize_t n;
	char c;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	make_file("f", "text");
	int fd = OK(open("f", O_RDWR));
	EQ(send_fds(s[0], &fd, 1, "x"), 1);
	EQ(recv_fds(s[1], got, 8, 0, &flags, &n), 1);
	EQ(n, 1);
	CHECK(got[0] != fd);
	EQ(fcntl(got[0], F_GETFD), 0);
	EQ(read(got[0], &c, 1), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 1); /* the same description */
	EQ(send_fds(s[0], &fd, 1, "x"), 1);
	EQ(recv_fds(s[1], got, 8, MSG_CMSG_CLOEXEC, &flags, &n), 1);
	EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
}

TEST(pass_to_a_process)
{
	int s[2], p[2], got[2], flags;
	ssize_t n;
	char c;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid_t pid = OK(fork());
	if (pid == 0) {
		EQ(recv_fds(s[1], got, 2, 0, &flags, &n), 1);
		EQ(write(got[0], "!", 1), 1);
		_exit(0);
	}
	OK(pipe(p));
	EQ(send_fds(s[0], &p[1], 1, "x"), 1);
	OK(close(p[1]));
	EQ(read(p[0], &c, 1), 1);
	EQ(c, '!');
	EQ(read(p[0], &c, 1), 0);
	REAP_OK(pid);
}

/* A file in flight stays open; one that nobody takes is closed with the socket. */
TEST(in_flight)
{
	int s[2], p[2];
	char c;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(pipe2(p, O_NONBLOCK));
	EQ(send_fds(s[0], &p[1], 1, "x"), 1);
	OK(close(p[1]));
	ERR(read(p[0], &c, 1), EAGAIN);
	OK(close(s[1]));
	OK(close(s[0]));
	int r = -1;
	for (int i = 0; i < 1000 && (r = read(p[0], &c, 1)) != 0; i++)
		sleep_ms(1); /* the garbage collector of sockets may need a moment */
	EQ(r, 0);
}

TEST(many_and_truncated)
{
	int s[2], fds[253], got[256], flags;
	ssize_t n;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	for (int i = 0; i < 253; i++)
		fds[i] = 0;
	EQ(send_fds(s[0], fds, 253, "x"), 1);
	EQ(recv_fds(s[1], got, 256, 0, &flags, &n), 253);
	for (int i = 0; i < 253; i++)
		OK(close(got[i]));
	ERR(send_fds(s[0], fds, 254, "x"), EINVAL);
	fds[1] = 999;
	ERR(send_fds(s[0], fds, 2, "x"), EBADF);
	fds[1] = 0;
	int next = OK(dup(0));
	OK(close(next));
	EQ(send_fds(s[0], fds, 3, "x"), 1);
	EQ(recv_fds(s[1], got, 0, 0, &flags, &n), 0); /* no room: closed, and said so */
	EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
	EQ(dup(0), next);
	OK(close(next));
	EQ(send_fds(s[0], fds, 1, "x"), 1);
	char data[4];
	EQ(read(s[1], data, 4), 1); /* plain read drops them */
	EQ(dup(0), next);
}

/* A stream read does not run on past a message that carries files. */
TEST(border_in_a_stream)
{
	int s[2], got[2], flags;
	ssize_t n;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	int zero = 0;
	EQ(write(s[0], "aa", 2), 2);
	EQ(send_fds(s[0], &zero, 1, "bb"), 2);
	EQ(write(s[0], "cc", 2), 2);
	int count = recv_fds(s[1], got, 2, 0, &flags, &n);
	if (count == 0) {
		EQ(n, 2);
		EQ(recv_fds(s[1], got, 2, 0, &flags, &n), 1);
		CHECK(n == 2 || n == 4);
	} else {
		CHECK(n == 4); /* what lay before may come along, what follows may not */
	}
}

TEST(credentials_message)
{
	int s[2], on = 1;
	char control[CMSG_SPACE(sizeof(struct ucred))], data[8];
	struct iovec iov = {data, sizeof data};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	pid_t pid = OK(fork());
	if (pid == 0) {
		EQ(write(s[0], "x", 1), 1);
		_exit(0);
	}
	EQ(recvmsg(s[1], &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c);
	EQ(c->cmsg_type, SCM_CREDENTIALS);
	struct ucred u;
	memcpy(&u, CMSG_DATA(c), sizeof u);
	EQ(u.pid, pid);
	EQ(u.uid, getuid());
	EQ(u.gid, getgid());
	REAP_OK(pid);
}

TEST(datagrams)
{
	int s[2];
	char buf[64];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	EQ(write(s[0], "one", 3), 3);
	EQ(write(s[0], "", 0), 0);
	EQ(write(s[0], "three", 5), 5);
	EQ(read(s[1], buf, 2), 2); /* the rest of a datagram is lost */
	EQ(read(s[1], buf, 64), 0);
	struct iovec iov = {buf, 2};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	EQ(recvmsg(s[1], &m, MSG_TRUNC), 5);
	EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
	ERR(recv(s[1], buf, 1, MSG_DONTWAIT), EAGAIN);
	OK(close(s[1]));
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), ECONNREFUSED);
}

TEST(datagram_names)
{
	struct sockaddr_un a = {AF_UNIX, "server"}, b = {AF_UNIX, "client"}, from;
	socklen_t n = sizeof from;
	char buf[16];
	int s = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), c = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	OK(bind(s, (struct sockaddr *)&a, sizeof a));
	OK(bind(c, (struct sockaddr *)&b, sizeof b));
	EQ(sendto(c, "ask", 3, 0, (struct sockaddr *)&a, sizeof a), 3);
	EQ(recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &n), 3);
	STR(from.sun_path, "client");
	EQ(sendto(s, "tell", 4, 0, (struct sockaddr *)&from, n), 4);
	OK(connect(c, (struct sockaddr *)&a, sizeof a));
	EQ(recv(c, buf, sizeof buf, 0), 4);
	EQ(send(c, "more", 4, 0), 4);
	EQ(recv(s, buf, sizeof buf, 0), 4);
	ERR(sendto(s, "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "none"}, sizeof a), ENOENT);
	ERR(send(s, "x", 1, 0), ENOTCONN);
}

TEST(seqpacket)
{
	int s[2];
	char buf[64];
	OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	EQ(write(s[0], "one", 3), 3);
	EQ(write(s[0], "three", 5), 5);
	EQ(read(s[1], buf, 2), 2);
	EQ(read(s[1], buf, 64), 5);
	OK(close(s[0]));
	EQ(read(s[1], buf, 64), 0);
}

TEST(message_errors)
{
	int s[2];
	char data[8];
	struct iovec iov = {data, 8};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ERR(sendmsg(s[0], BAD, 0), EFAULT);
	ERR(recvmsg(s[0], BAD, 0), EFAULT);
	m.msg_iov = BAD;
	ERR(sendmsg(s[0], &m, 0), EFAULT);
	m.msg_iov = &iov;
	m.msg_iovlen = 1025;
	ERR(sendmsg(s[0], &m, 0), EMSGSIZE);
	m.msg_iovlen = 1;
	m.msg_control = BAD;
	m.msg_controllen = 24;
	ERR(sendmsg(s[0], &m, 0), EFAULT);
	struct { struct cmsghdr c; int fd; } bad = {{3, SOL_SOCKET, SCM_RIGHTS}, 0};
	m.msg_control = &bad;
	m.msg_controllen = sizeof bad;
	ERR(sendmsg(s[0], &m, 0), EINVAL);
	ERR(sendmsg(999, &m, 0), EBADF);
}
