/* read(2), write(2): numbered records through a pipe and a file under a 2 ms timer; none lost, none doubled. argv: records [timer_us]. */
#include "check.h"
#include <sys/socket.h>
#include <sys/time.h>

static volatile sig_atomic_t fired;
static void on_alarm(int sig)
{
	(void)sig;
	fired++;
}

struct record {
	uint64_t number;
	char fill[56];
};

static long count(void)
{
	return size_arg(0, 10000);
}

static void start_timer(int flags)
{
	long us = size_arg(1, 2000);
	struct itimerval it = {{0, us}, {0, us}};
	handle(SIGALRM, on_alarm, flags);
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

static void write_all(int fd, const void *data, size_t size, int may_eintr)
{
	const char *p = data;
	while (size) {
		ssize_t n = write(fd, p, size);
		if (n == -1) {
			CHECK(errno == EINTR && may_eintr);
			continue;
		}
		CHECK(n > 0);
		p += n;
		size -= n;
	}
}

/* 0 at end of file. */
static int read_all(int fd, void *data, size_t size, int may_eintr)
{
	char *p = data;
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, p + have, size - have);
		if (n == -1) {
			CHECK(errno == EINTR && may_eintr);
			continue;
		}
		if (n == 0) {
			EQ(have, 0);
			return 0;
		}
		have += n;
	}
	return 1;
}

static void through(int fds[2], size_t size, int flags)
{
	char *rec = calloc(1, size);
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(close(fds[0]));
		start_timer(flags);
		for (long i = 0; i < count(); i++) {
			*(uint64_t *)rec = i;
			rec[size - 1] = i;
			write_all(fds[1], rec, size, !(flags & SA_RESTART));
		}
		_exit(0);
	}
	OK(close(fds[1]));
	start_timer(flags);
	for (long i = 0; i < count(); i++) {
		EQ(read_all(fds[0], rec, size, !(flags & SA_RESTART)), 1);
		EQ(*(uint64_t *)rec, i);
		EQ(rec[size - 1], (char)i);
	}
	EQ(read_all(fds[0], rec, 1, 1), 0);
	REAP_OK(pid);
}

static void through_pipe(size_t size, int flags)
{
	int p[2];
	OK(pipe(p));
	through(p, size, flags);
}

TEST(pipe_restart) { through_pipe(sizeof(struct record), SA_RESTART); }
TEST(pipe_no_restart) { through_pipe(sizeof(struct record), 0); }
TEST(pipe_large_restart) { through_pipe(9000, SA_RESTART); }
TEST(pipe_large_no_restart) { through_pipe(9000, 0); }

TEST(socketpair_no_restart)
{
	int p[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
	through(p, sizeof(struct record), 0);
}

/* Regular files: neither call is ever interrupted (signal(7): not a slow device). */
static void through_file(int flags)
{
	struct record r = {0}, got;
	int w = OK(open("f", O_WRONLY | O_CREAT | O_APPEND, 0600));
	int rd = OK(open("f", O_RDONLY));
	start_timer(flags);
	for (long i = 0; i < count(); i++) {
		r.number = i;
		EQ(write(w, &r, sizeof r), sizeof r);
		if (i % 3 == 2)
			for (int k = 2; k >= 0; k--) {
				EQ(read(rd, &got, sizeof got), sizeof got);
				EQ(got.number, i - k);
			}
	}
	struct stat st;
	OK(fstat(w, &st));
	EQ(st.st_size, count() * (long)sizeof r);
	EQ(lseek(rd, 0, SEEK_SET), 0);
	for (long i = 0; i < count(); i++) {
		EQ(read(rd, &got, sizeof got), sizeof got);
		EQ(got.number, i);
	}
	EQ(read(rd, &got, sizeof got), 0);
}

TEST(file_restart) { through_file(SA_RESTART); }
TEST(file_no_restart) { through_file(0); }

/* Two writers on one description and one reader: each record arrives whole and once. */
TEST(two_writers)
{
	int p[2];
	long each = count() / 2;
	OK(pipe(p));
	for (int w = 0; w < 2; w++) {
		pid_t pid = OK(fork());
		if (pid)
			continue;
		struct record r = {0};
		start_timer(w ? SA_RESTART : 0);
		for (long i = 0; i < each; i++) {
			r.number = i * 2 + w;
			r.fill[55] = w;
			ssize_t n;
			while ((n = write(p[1], &r, sizeof r)) == -1)
				CHECK(errno == EINTR && w == 0);
			EQ(n, sizeof r);
		}
		_exit(0);
	}
	OK(close(p[1]));
	struct record r;
	uint64_t next[2] = {0, 1};
	start_timer(0);
	while (read_all(p[0], &r, sizeof r, 1)) {
		int w = r.number & 1;
		EQ(r.fill[55], w);
		EQ(r.number, next[w]);
		next[w] += 2;
	}
	EQ(next[0], each * 2);
	EQ(next[1], each * 2 + 1);
	for (int w = 0, st; w < 2;) {
		pid_t pid = wait(&st);
		if (pid == -1) {
			EQ(errno, EINTR);
			continue;
		}
		EQ(st, 0);
		w++;
	}
}
