/* pipe(2), pipe(7), fifo(7): capacity, atomic writes, ends, non-blocking use. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>

static char buf[1 << 21];

TEST(create)
{
	int p[2], q[2];
	OK(pipe(p));
	EQ(p[1], p[0] + 1);
	EQ(fcntl(p[0], F_GETFL), O_RDONLY);
	EQ(fcntl(p[1], F_GETFL), O_WRONLY);
	EQ(fcntl(p[0], F_GETFD), 0);
	OK(pipe2(q, O_CLOEXEC | O_NONBLOCK));
	EQ(fcntl(q[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	EQ(fcntl(q[1], F_GETFD), FD_CLOEXEC);
	ERR(pipe2(q, O_APPEND), EINVAL);
	ERR(syscall(SYS_pipe2, BAD, 0), EFAULT);
	int next = OK(dup(0));
	EQ(next, q[1] + 1); /* nothing was left behind by the failures */
	char c;
	ERR(read(p[1], &c, 1), EBADF);
	ERR(write(p[0], &c, 1), EBADF);
}

TEST(bytes_in_order)
{
	int p[2];
	OK(pipe(p));
	EQ(write(p[1], "abc", 3), 3);
	EQ(write(p[1], "defg", 4), 4);
	EQ(read(p[0], buf, 2), 2);
	CHECK(!memcmp(buf, "ab", 2));
	EQ(read(p[0], buf, 100), 5);
	CHECK(!memcmp(buf, "cdefg", 5));
	EQ(write(p[1], "", 0), 0);
	EQ(read(p[0], buf, 0), 0);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ERR(read(p[0], buf, 1), EAGAIN);
}

TEST(end_of_file)
{
	int p[2];
	OK(pipe(p));
	int w2 = OK(dup(p[1]));
	EQ(write(p[1], "x", 1), 1);
	OK(close(p[1]));
	EQ(read(p[0], buf, 10), 1);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ERR(read(p[0], buf, 10), EAGAIN); /* one writer is left */
	OK(close(w2));
	EQ(read(p[0], buf, 10), 0);
	EQ(read(p[0], buf, 10), 0);
}

TEST(reader_woken_by_last_close)
{
	int p[2];
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		sleep_ms(50);
		_exit(0); /* closes the write end by dying */
	}
	OK(close(p[1]));
	EQ(read(p[0], buf, 1), 0);
	REAP_OK(pid);
}

TEST(broken_pipe)
{
	int p[2];
	OK(pipe(p));
	OK(close(p[0]));
	signal(SIGPIPE, SIG_IGN);
	ERR(write(p[1], "x", 1), EPIPE);
	pid_t pid = OK(fork());
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		(void)!write(p[1], "x", 1);
		_exit(1);
	}
	REAP_SIGNAL(pid, SIGPIPE);
	EQ(write(p[1], "", 0), 0);
}

/* A writer that sleeps because the pipe is full learns of the last reader's end. */
TEST(writer_woken_by_last_close)
{
	int p[2];
	OK(pipe(p));
	signal(SIGPIPE, SIG_IGN);
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(close(p[1]));
		sleep_ms(50);
		_exit(0);
	}
	OK(close(p[0]));
	ssize_t n = write(p[1], buf, 100000);
	CHECK(n == 65536 || (n == -1 && errno == EPIPE)); /* what went in before is counted */
	ERR(write(p[1], buf, 1), EPIPE);
	REAP_OK(pid);
}

TEST(capacity)
{
	int p[2], n;
	OK(pipe2(p, O_NONBLOCK));
	int size = OK(fcntl(p[0], F_GETPIPE_SZ));
	EQ(size, 65536);
	EQ(write(p[1], buf, 100000), 65536);
	ERR(write(p[1], buf, 1), EAGAIN);
	OK(ioctl(p[0], FIONREAD, &n));
	EQ(n, 65536);
	EQ(read(p[0], buf, 4096), 4096);
	EQ(write(p[1], buf, 4096), 4096);
	EQ(read(p[0], buf, sizeof buf), 65536);
	EQ(fcntl(p[1], F_SETPIPE_SZ, 4096), 4096);
	EQ(fcntl(p[0], F_GETPIPE_SZ), 4096);
	EQ(write(p[1], buf, 100000), 4096);
	EQ(fcntl(p[1], F_SETPIPE_SZ, 5000), 8192); /* rounded up to a power of two of pages */
	EQ(write(p[1], buf, 100000), 4096);
	ERR(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
	EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	EQ(write(p[1], buf, sizeof buf), (1 << 20) - 8192);
	int f = OK(open("f", O_RDWR | O_CREAT, 0600));
	ERR(fcntl(f, F_GETPIPE_SZ), EBADF);
}

/* Up to PIPE_BUF bytes a non-blocking write is all or nothing. */
TEST(atomic_nonblocking_write)
{
	int p[2];
	OK(pipe2(p, O_NONBLOCK));
	EQ(write(p[1], buf, 65536 - 100), 65536 - 100);
	ssize_t n = write(p[1], buf, 4096);
	CHECK(n == -1 && errno == EAGAIN);
	n = write(p[1], buf, 8192); /* more than PIPE_BUF may go in part */
	CHECK(n == -1 || (n > 0 && n <= 4096));
}

TEST(atomic_writers)
{
	int p[2];
	long each = size_arg(0, 300);
	OK(pipe(p));
	for (int w = 0; w < 4; w++) {
		pid_t pid = OK(fork());
		if (pid)
			continue;
		char rec[1000];
		memset(rec, 'a' + w, sizeof rec);
		for (long i = 0; i < each; i++)
			EQ(write(p[1], rec, sizeof rec), sizeof rec);
		_exit(0);
	}
	OK(close(p[1]));
	long count[4] = {0};
	for (;;) {
		char rec[1000];
		size_t have = 0;
		ssize_t n = 1;
		while (have < sizeof rec && (n = OK(read(p[0], rec + have, sizeof rec - have))) > 0)
			have += n;
		if (!n)
			break;
		CHECK(rec[0] >= 'a' && rec[0] < 'e');
		for (size_t i = 1; i < sizeof rec; i++)
			EQ(rec[i], rec[0]);
		count[rec[0] - 'a']++;
	}
	for (int w = 0; w < 4; w++) {
		EQ(count[w], each);
		REAP_OK(-1);
	}
}

/* A large blocking write goes through in full while a slow reader takes bits of it. */
TEST(blocking_large_write)
{
	int p[2];
	size_t size = 1 << 20, got = 0;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		for (size_t i = 0; i < size; i++)
			buf[i] = i * 7 + i / 251;
		EQ(write(p[1], buf, size), (ssize_t)size);
		_exit(0);
	}
	OK(close(p[1]));
	for (ssize_t n; (n = OK(read(p[0], buf, 3333))) > 0; got += n)
		for (ssize_t i = 0; i < n; i++)
			EQ(buf[i], (char)((got + i) * 7 + (got + i) / 251));
	EQ(got, size);
	REAP_OK(pid);
}

/* EFAULT loses no data. */
TEST(bad_pointers)
{
	int p[2];
	OK(pipe(p));
	ERR(write(p[1], BAD, 10), EFAULT);
	EQ(write(p[1], "hello", 5), 5);
	ERR(read(p[0], BAD, 5), EFAULT);
	EQ(read(p[0], buf, 10), 5);
	CHECK(!memcmp(buf, "hello", 5));
}

TEST(nonblocking_by_open_file)
{
	int p[2];
	OK(pipe(p));
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
	int again = open(path, O_RDONLY | O_NONBLOCK);
	if (again == -1)
		SKIP("no /proc/self/fd");
	ERR(read(again, buf, 1), EAGAIN); /* a new description of the same pipe */
	EQ(fcntl(p[0], F_GETFL), O_RDONLY);
	EQ(write(p[1], "ab", 2), 2);
	EQ(read(again, buf, 1), 1);
	EQ(read(p[0], buf, 1), 1);
	EQ(buf[0], 'b');
}

TEST(fifo)
{
	OK(mkfifo("f", 0600));
	ERR(open("f", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = OK(open("f", O_RDONLY | O_NONBLOCK));
	EQ(read(r, buf, 1), 0); /* no writer: end of file, not EAGAIN */
	int w = OK(open("f", O_WRONLY | O_NONBLOCK));
	ERR(read(r, buf, 1), EAGAIN);
	EQ(write(w, "xyz", 3), 3);
	EQ(read(r, buf, 10), 3);
	OK(close(r));
	signal(SIGPIPE, SIG_IGN);
	ERR(write(w, "x", 1), EPIPE);
	OK(close(w));
	int rw = OK(open("f", O_RDWR));
	EQ(write(rw, "own", 3), 3);
	EQ(read(rw, buf, 10), 3);
	ERR(mkfifo("f", 0600), EEXIST);
}

TEST(fifo_rendezvous)
{
	OK(mkfifo("f", 0600));
	for (int i = 0; i < 20; i++) {
		pid_t pid = OK(fork());
		if (pid == 0) {
			int w = OK(open("f", O_WRONLY));
			EQ(write(w, &i, sizeof i), sizeof i);
			_exit(0);
		}
		int r = OK(open("f", O_RDONLY)), got = -1;
		EQ(read(r, &got, sizeof got), sizeof got);
		EQ(got, i);
		EQ(read(r, &got, sizeof got), 0);
		OK(close(r));
		REAP_OK(pid);
	}
}

TEST(ping_pong)
{
	int a[2], b[2];
	long rounds = size_arg(1, 1000);
	OK(pipe(a));
	OK(pipe(b));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(close(a[1]));
		for (long n; read(a[0], &n, sizeof n) == sizeof n;) {
			n++;
			EQ(write(b[1], &n, sizeof n), sizeof n);
		}
		_exit(0);
	}
	for (long i = 0, n; i < rounds; i++) {
		EQ(write(a[1], &i, sizeof i), sizeof i);
		EQ(read(b[0], &n, sizeof n), sizeof n);
		EQ(n, i + 1);
	}
	OK(close(a[1]));
	REAP_OK(pid);
}
