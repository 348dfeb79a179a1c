/* tcp(7), recv(2), send(2), poll(2), splice(2): what goes over a connection, and how its end is told. */
#include "tcp.h"

TEST(broken_pipe)
{
	int s[2];
	pair(s);
	OK(close(s[1]));
	BITS(s[0], READABLE | WRITABLE | POLLRDHUP);
	EQ(write(s[0], "x", 1), 1); /* answered by a reset */
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(s[0], "x", 1), EPIPE);
	ERR(write(s[0], "x", 1), EPIPE);
	EQ(read(s[0], buf, 1), 0);
	signal(SIGPIPE, SIG_DFL);
	pid_t pid = OK(fork());
	if (!pid) {
		ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
		write(s[0], "x", 1);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGPIPE);
}

TEST(unread_data_resets)
{
	int s[2];
	pair(s);
	EQ(write(s[0], "unread", 6), 6);
	BITS(s[1], READABLE | WRITABLE);
	EQ(write(s[1], "kept", 4), 4);
	OK(close(s[1]));
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	EQ(read(s[0], buf, 10), 4);
	ERR(read(s[0], buf, 10), ECONNRESET);
	EQ(read(s[0], buf, 10), 0);
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	ERR(getpeername(s[0], (struct sockaddr *)&a, &n), ENOTCONN);
	OK(getsockname(s[0], (struct sockaddr *)&a, &n));
	CHECK(a.sin_port != 0);
}

TEST(linger_of_nothing_resets)
{
	int s[2];
	pair(s);
	reset(s[1]);
	BITS(s[0], READABLE | WRITABLE | POLLERR | POLLHUP | POLLRDHUP);
	EQ(get(s[0], SOL_SOCKET, SO_ERROR), ECONNRESET);
	EQ(get(s[0], SOL_SOCKET, SO_ERROR), 0);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	pair(s);
	reset(s[1]);
	sleep_ms(20);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(reset_wakes_a_reader)
{
	int s[2];
	pair(s);
	pid_t pid = OK(fork());
	if (!pid) {
		OK(close(s[1]));
		ERR(read(s[0], buf, 10), ECONNRESET);
		_exit(0);
	}
	sleep_ms(50);
	reset(s[1]);
	REAP_OK(pid);
}

TEST(linger_waits)
{
	int s[2];
	struct linger soft = {1, 10};
	pair(s);
	set(s[0], SOL_SOCKET, SO_SNDBUF, 1 << 20);
	nonblock(s[0]);
	while (write(s[0], buf, sizeof buf) > 0)
		;
	EQ(errno, EAGAIN);
	int queued;
	OK(ioctl(s[0], SIOCOUTQ, &queued));
	CHECK(queued > 0);
	OK(fcntl(s[0], F_SETFL, O_RDWR));
	OK(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &soft, sizeof soft));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(close(s[0]));
		sleep_ms(250);
		while (read(s[1], buf, sizeof buf) > 0)
			;
		_exit(0);
	}
	OK(close(s[1]));
	sleep_ms(100);
	int64_t began = now_ns();
	OK(close(s[0]));
	int64_t took = now_ns() - began;
	CHECK(took > 50000000 && took < 5000000000);
	REAP_OK(pid);
}

TEST(peek_waitall_trunc)
{
	int s[2], n;
	pair(s);
	EQ(write(s[0], "abcdef", 6), 6);
	BITS(s[1], READABLE | WRITABLE);
	EQ(recv(s[1], buf, 3, MSG_PEEK), 3);
	EQ(memcmp(buf, "abc", 3), 0);
	OK(ioctl(s[1], FIONREAD, &n));
	EQ(n, 6);
	EQ(recv(s[1], buf, 2, 0), 2);
	EQ(recv(s[1], buf, 100, MSG_DONTWAIT | MSG_WAITALL), 4);
	ERR(recv(s[1], buf, 100, MSG_DONTWAIT), EAGAIN);
	ERR(recv(s[1], buf, 0, MSG_DONTWAIT), EAGAIN);
	EQ(read(s[1], buf, 0), 0);
	EQ(write(s[0], "0123456789", 10), 10);
	BITS(s[1], READABLE | WRITABLE);
	memset(buf, 'x', 4);
	EQ(recv(s[1], buf, 4, MSG_TRUNC), 4); /* thrown away, not copied */
	EQ(memcmp(buf, "xxxx", 4), 0);
	EQ(recv(s[1], buf, 4, 0), 4);
	EQ(memcmp(buf, "4567", 4), 0);
	EQ(recv(s[1], NULL, 2, MSG_TRUNC), 2);
	pid_t pid = OK(fork());
	if (!pid) {
		sleep_ms(30);
		EQ(write(s[0], "one", 3), 3);
		sleep_ms(30);
		EQ(write(s[0], "two", 3), 3);
		_exit(0);
	}
	EQ(recv(s[1], buf, 6, MSG_PEEK | MSG_WAITALL), 6);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 6);
	EQ(memcmp(buf, "onetwo", 6), 0);
	REAP_OK(pid);
	struct timeval tv = {0, 50000};
	OK(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	ERR(recv(s[1], buf, 6, 0), EAGAIN);
	EQ(write(s[0], "abc", 3), 3);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 3);
	EQ(write(s[0], "abc", 3), 3);
	OK(shutdown(s[0], SHUT_WR));
	EQ(recv(s[1], buf, 6, MSG_PEEK | MSG_WAITALL), 3);
	EQ(recv(s[1], buf, 6, MSG_WAITALL), 3);
}

static volatile sig_atomic_t urgent;
static void on_urgent(int sig)
{
	(void)sig;
	urgent++;
}

TEST(urgent_data)
{
	int s[2], n;
	pair(s);
	ERR(recv(s[1], buf, 1, MSG_OOB), EINVAL);
	handle(SIGURG, on_urgent, SA_RESTART);
	OK(fcntl(s[1], F_SETOWN, getpid()));
	EQ(send(s[0], "abcU", 4, MSG_OOB), 4);
	BITS(s[1], READABLE | WRITABLE | POLLPRI);
	for (int i = 0; i < 100 && !urgent; i++)
		sleep_ms(5);
	EQ(urgent, 1);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 0);
	EQ(recv(s[1], buf, 10, MSG_OOB | MSG_PEEK), 1);
	EQ(buf[0], 'U');
	EQ(recv(s[1], buf, 10, MSG_OOB), 1);
	ERR(recv(s[1], buf, 10, MSG_OOB), EINVAL);
	EQ(bits(s[1]), READABLE | WRITABLE);
	EQ(write(s[0], "def", 3), 3);
	sleep_ms(20);
	EQ(recv(s[1], buf, 10, 0), 3);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 1);
	EQ(recv(s[1], buf, 10, 0), 3);
	EQ(memcmp(buf, "def", 3), 0);
	set(s[1], SOL_SOCKET, SO_OOBINLINE, 1);
	EQ(send(s[0], "xyZ", 3, MSG_OOB), 3);
	sleep_ms(20);
	ERR(recv(s[1], buf, 10, MSG_OOB), EINVAL);
	EQ(recv(s[1], buf, 10, 0), 2);
	OK(ioctl(s[1], SIOCATMARK, &n));
	EQ(n, 1);
	EQ(recv(s[1], buf, 10, 0), 1);
	EQ(buf[0], 'Z');
}

TEST(poll_bits)
{
	int port, l = listener(&port, 5), s = tcp();
	EQ(bits(tcp()), WRITABLE | POLLHUP);
	EQ(bits(l), 0);
	OK(CONNECT(s, v4("127.0.0.1", port)));
	BITS(l, READABLE);
	EQ(bits(s), WRITABLE);
	int c = OK(accept(l, NULL, NULL));
	EQ(bits(c), WRITABLE);
	nonblock(s);
	while (write(s, buf, 65536) > 0)
		;
	EQ(errno, EAGAIN);
	EQ(bits(s), 0);
	while (recv(c, buf, sizeof buf, MSG_DONTWAIT) > 0)
		sleep_ms(1);
	BITS(s, WRITABLE);
	set(c, SOL_SOCKET, SO_RCVLOWAT, 5);
	EQ(write(s, "1234", 4), 4);
	sleep_ms(20);
	EQ(bits(c), WRITABLE);
	EQ(write(s, "5", 1), 1);
	BITS(c, READABLE | WRITABLE);
}

TEST(epoll_edges)
{
	int s[2], e = OK(epoll_create1(0));
	struct epoll_event ev = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = 7}};
	pair(s);
	OK(epoll_ctl(e, EPOLL_CTL_ADD, s[1], &ev));
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLOUT);
	EQ(epoll_wait(e, &ev, 1, 0), 0);
	EQ(write(s[0], "a", 1), 1);
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLIN | EPOLLOUT);
	EQ(epoll_wait(e, &ev, 1, 20), 0);
	EQ(write(s[0], "b", 1), 1);
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(recv(s[1], buf, 10, 0), 2);
	OK(shutdown(s[0], SHUT_WR));
	EQ(epoll_wait(e, &ev, 1, 1000), 1);
	EQ(ev.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

TEST(message_calls)
{
	int s[2];
	pair(s);
	struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buf, 1}, {buf + 10, 10}};
	struct sockaddr_in from = v4("127.0.0.1", 9);
	struct msghdr m = {.msg_iov = out, .msg_iovlen = 3};
	EQ(sendmsg(s[0], &m, 0), 5);
	sleep_ms(10);
	m = (struct msghdr){.msg_iov = in, .msg_iovlen = 2, .msg_name = &from, .msg_namelen = sizeof from};
	EQ(recvmsg(s[1], &m, 0), 5);
	EQ(m.msg_namelen, 0);
	EQ(m.msg_flags, 0);
	EQ(buf[0], 'a');
	EQ(memcmp(buf + 10, "bcde", 4), 0);
	EQ(sendto(s[0], "x", 1, 0, (struct sockaddr *)&from, sizeof from), 1); /* the address is ignored */
	EQ(readv(s[1], in, 2), 1);
	EQ(writev(s[0], out, 3), 5);
	EQ(recv(s[1], buf, 5, MSG_WAITALL), 5);
	ERR(send(s[0], BAD, 5, 0), EFAULT);
	EQ(write(s[0], "keep", 4), 4);
	sleep_ms(10);
	ERR(recv(s[1], BAD, 4, 0), EFAULT);
	EQ(recv(s[1], buf, 10, 0), 4);
	ERR(recv(s[1], buf, 10, MSG_ERRQUEUE), EAGAIN);
	ERR(lseek(s[0], 0, SEEK_SET), ESPIPE);
	ERR(pread(s[0], buf, 1, 0), ESPIPE);
}

TEST(sendfile_and_splice)
{
	int s[2], p[2];
	pair(s);
	make_file("f", "from a file");
	int f = OK(open("f", O_RDONLY));
	EQ(sendfile(s[0], f, NULL, 100), 11);
	EQ(recv(s[1], buf, 11, MSG_WAITALL), 11);
	EQ(memcmp(buf, "from a file", 11), 0);
	OK(pipe(p));
	EQ(write(p[1], "piped", 5), 5);
	EQ(splice(p[0], NULL, s[0], NULL, 100, 0), 5);
	sleep_ms(10);
	EQ(splice(s[1], NULL, p[1], NULL, 100, 0), 5);
	EQ(read(p[0], buf, 100), 5);
	EQ(memcmp(buf, "piped", 5), 0);
}

static unsigned mix(unsigned long i)
{
	return (unsigned)((i * 2654435761u) >> 7);
}

/* `total` bytes each way at once, in pieces of any size, by two processes each: every byte is right. */
TEST(big_transfer)
{
	long total = size_arg(0, 8) << 20;
	int s[2];
	pid_t pids[4];
	pair(s);
	for (int side = 0; side < 2; side++) {
		if (!(pids[side * 2] = OK(fork()))) {
			unsigned seed = side + 1;
			for (long at = 0; at < total;) {
				long n = rand_r(&seed) % (rand_r(&seed) % 8 ? 3000 : 300000) + 1;
				if (n > total - at)
					n = total - at;
				for (long i = 0; i < n; i++)
					buf[i] = mix(at + i + side);
				EQ(write(s[side], buf, n), n);
				at += n;
			}
			OK(shutdown(s[side], SHUT_WR));
			_exit(0);
		}
		if (!(pids[side * 2 + 1] = OK(fork()))) {
			unsigned seed = side + 77;
			long at = 0, n;
			while ((n = OK(read(s[side], buf, rand_r(&seed) % (rand_r(&seed) % 8 ? 3000 : 300000) + 1))) > 0) {
				for (long i = 0; i < n; i++)
					EQ(buf[i], (char)mix(at + i + !side));
				at += n;
			}
			EQ(at, total);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		REAP_OK(pids[i]);
}

TEST(many_connections)
{
	int port, l = listener(&port, 128), count = size_arg(1, 200);
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 0; i < count; i++) {
			int s = tcp();
			OK(CONNECT(s, v4("127.0.0.1", port)));
			EQ(write(s, &i, sizeof i), sizeof i);
			EQ(read(s, buf, 10), 4);
			EQ(read(s, buf, 10), 0);
			OK(close(s));
		}
		_exit(0);
	}
	for (int i = 0; i < count; i++) {
		int n, c = OK(accept(l, NULL, NULL));
		EQ(read(c, &n, sizeof n), sizeof n);
		EQ(n, i);
		EQ(write(c, "done", 4), 4);
		OK(close(c));
	}
	REAP_OK(pid);
}

TEST(zero_copy_completions)
{
	int s[2];
	char control[128];
	struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};
	pair(s);
	set(s[0], SOL_SOCKET, SO_ZEROCOPY, 1);
	ERR(recvmsg(s[0], &m, MSG_ERRQUEUE), EAGAIN);
	for (int i = 0; i < 3; i++)
		EQ(send(s[0], buf, 10000, MSG_ZEROCOPY), 10000);
	EQ(recv(s[1], buf, 30000, MSG_WAITALL), 30000);
	for (unsigned told = 0; told < 3;) {
		struct pollfd p = {.fd = s[0]};
		EQ(poll(&p, 1, 5000), 1);
		EQ(p.revents, POLLERR);
		m.msg_controllen = sizeof control;
		EQ(recvmsg(s[0], &m, MSG_ERRQUEUE), 0);
		CHECK(m.msg_flags & MSG_ERRQUEUE);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		CHECK(c && c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR);
		struct sock_extended_err e;
		memcpy(&e, CMSG_DATA(c), sizeof e);
		EQ(e.ee_errno, 0);
		EQ(e.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
		EQ(e.ee_info, told);
		CHECK(e.ee_data >= told);
		told = e.ee_data + 1;
	}
	EQ(bits(s[0]), WRITABLE);
}

TEST(what_is_left_is_told)
{
	int s[2], left;
	char control[128];
	struct iovec in = {buf, 4};
	struct msghdr m = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	pair(s);
	set(s[1], IPPROTO_TCP, TCP_INQ, 1);
	EQ(write(s[0], "0123456789", 10), 10);
	sleep_ms(20);
	EQ(recvmsg(s[1], &m, 0), 4);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ);
	memcpy(&left, CMSG_DATA(c), sizeof left);
	EQ(left, 6);
}

TEST(splice_much)
{
	int s[2], p[2], total = 600000, moved = 0;
	pair(s);
	int f = OK(open("much", O_RDWR | O_CREAT, 0600));
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 0; i < total; i++)
			buf[i] = mix(i);
		EQ(write(s[0], buf, total), total);
		_exit(0);
	}
	while (moved < total) {
		int n = OK(splice(s[1], NULL, p[1], NULL, 50000, 0));
		CHECK(n > 0);
		for (int out = 0; out < n;)
			out += OK(splice(p[0], NULL, f, NULL, n - out, 0));
		moved += n;
	}
	EQ(pread(f, buf, total, 0), total);
	for (int i = 0; i < total; i++)
		EQ(buf[i], (char)mix(i));
	REAP_OK(pid);
	off_t at = 1000;
	EQ(sendfile(s[1], f, &at, 300000), 300000);
	EQ(at, 301000);
	EQ(recv(s[0], buf, 300000, MSG_WAITALL), 300000);
	EQ(buf[0], (char)mix(1000));
	EQ(buf[299999], (char)mix(300999));
}
