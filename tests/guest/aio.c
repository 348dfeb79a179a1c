/* io_setup(2), io_submit(2), io_getevents(2), io_pgetevents(2), io_cancel(2), io_destroy(2). */
#include "check.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

static int io_setup(unsigned n, aio_context_t *c)
{
	return syscall(SYS_io_setup, n, c);
}
static int io_destroy(aio_context_t c)
{
	return syscall(SYS_io_destroy, c);
}
static int io_submit(aio_context_t c, long n, struct iocb **list)
{
	return syscall(SYS_io_submit, c, n, list);
}
static int io_getevents(aio_context_t c, long least, long most, struct io_event *ev, struct timespec *ts)
{
	return syscall(SYS_io_getevents, c, least, most, ev, ts);
}
static int io_cancel(aio_context_t c, struct iocb *i, struct io_event *ev)
{
	return syscall(SYS_io_cancel, c, i, ev);
}

static aio_context_t fresh(unsigned n)
{
	aio_context_t c = 0;
	OK(io_setup(n, &c));
	CHECK(c != 0);
	return c;
}

static struct iocb make(int op, int fd, void *buf, size_t n, long long at)
{
	struct iocb i = {.aio_data = 0x1234567890, .aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = n,
			 .aio_offset = at};
	return i;
}

/* One request from submission to result. */
static long long one(aio_context_t c, struct iocb *i)
{
	struct io_event ev;
	EQ(io_submit(c, 1, &i), 1);
	EQ(io_getevents(c, 1, 1, &ev, NULL), 1);
	EQ(ev.data, 0x1234567890);
	EQ(ev.obj, (uintptr_t)i);
	EQ(ev.res2, 0);
	return ev.res;
}

TEST(setup)
{
	aio_context_t c = 0, d = 0;
	OK(io_setup(1, &c));
	ERR(io_setup(1, &c), EINVAL); /* *ctx is not 0 */
	ERR(io_setup(0, &d), EINVAL);
	ERR(io_setup(-1, &d), EINVAL);
	ERR(io_setup(1, BAD), EFAULT);
	OK(io_setup(1, &d));
	CHECK(c != d);
	CHECK(*(volatile unsigned *)c + 1 != 0); /* the library may look there */
	OK(io_destroy(c));
	ERR(io_destroy(c), EINVAL);
	ERR(io_submit(c, 0, NULL), EINVAL);
	ERR(io_getevents(c, 0, 0, NULL, NULL), EINVAL);
	IN_CHILD
	{
		ERR(io_destroy(d), EINVAL); /* a fork has none */
	}
	OK(io_destroy(d));
}

TEST(files)
{
	aio_context_t c = fresh(8);
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	char buf[100] = "hello, world", back[100] = "";
	struct iocb i = make(IOCB_CMD_PWRITE, fd, buf, 12, 4000);
	EQ(one(c, &i), 12);
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	i = make(IOCB_CMD_PREAD, fd, back, 100, 4000);
	EQ(one(c, &i), 12);
	STR(back, buf);
	i.aio_offset = 5000;
	EQ(one(c, &i), 0);
	i.aio_offset = -1;
	struct iocb *list[3] = {&i};
	ERR(io_submit(c, 1, list), EINVAL);
	struct iovec iov[2] = {{back, 5}, {back + 50, 7}};
	i = make(IOCB_CMD_PREADV, fd, iov, 2, 4000);
	EQ(one(c, &i), 12);
	CHECK(!memcmp(back, "hello", 5) && !memcmp(back + 50, ", world", 7));
	iov[0].iov_base = "abc", iov[0].iov_len = 3, iov[1].iov_base = "defg", iov[1].iov_len = 4;
	i = make(IOCB_CMD_PWRITEV, fd, iov, 2, 0);
	EQ(one(c, &i), 7);
	EQ(pread(fd, back, 7, 0), 7);
	CHECK(!memcmp(back, "abcdefg", 7));
	i = make(IOCB_CMD_FSYNC, fd, NULL, 0, 0);
	EQ(one(c, &i), 0);
	i = make(IOCB_CMD_FDSYNC, fd, NULL, 0, 0);
	EQ(one(c, &i), 0);
	char *page = page_end();
	i = make(IOCB_CMD_PREAD, fd, page + 100, 7, 0);
	EQ(one(c, &i), -EFAULT);
	OK(io_destroy(c));
}

TEST(refused)
{
	aio_context_t c = fresh(8);
	int fd = OK(open("file", O_CREAT | O_RDONLY, 0600));
	char buf[10];
	struct iocb good = make(IOCB_CMD_PREAD, fd, buf, 10, 0), i = make(IOCB_CMD_PWRITE, fd, buf, 10, 0);
	struct iocb *list[3] = {&i, &good, &i};
	ERR(io_submit(c, 1, list), EBADF);
	i = make(IOCB_CMD_PREAD, 99, buf, 10, 0);
	ERR(io_submit(c, 1, list), EBADF);
	i = make(77, fd, buf, 10, 0);
	ERR(io_submit(c, 1, list), EINVAL);
	i = good, i.aio_reserved2 = 1;
	ERR(io_submit(c, 1, list), EINVAL);
	i = good, i.aio_nbytes = -1;
	ERR(io_submit(c, 1, list), EINVAL);
	i = good, i.aio_flags = IOCB_FLAG_RESFD, i.aio_resfd = fd;
	ERR(io_submit(c, 1, list), EINVAL);
	i.aio_resfd = 99;
	ERR(io_submit(c, 1, list), EBADF);
	i = make(IOCB_CMD_FSYNC, fd, buf, 0, 0);
	ERR(io_submit(c, 1, list), EINVAL);
	i = make(IOCB_CMD_POLL, fd, (void *)0x10000, 0, 0);
	ERR(io_submit(c, 1, list), EINVAL);
	ERR(io_submit(c, -1, list), EINVAL);
	ERR(io_submit(c, 1, BAD), EFAULT);
	list[0] = BAD;
	ERR(io_submit(c, 1, list), EFAULT);
	EQ(io_submit(c, 0, list), 0);
	/* those before the bad one are done */
	i = make(77, fd, buf, 10, 0);
	list[0] = &good;
	list[1] = &i;
	EQ(io_submit(c, 2, list), 1);
	struct io_event ev[4];
	EQ(io_getevents(c, 1, 4, ev, NULL), 1);
	EQ(ev[0].res, 0);
	OK(io_destroy(c));
}

TEST(fetching)
{
	aio_context_t c = fresh(4);
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	EQ(write(fd, "abcdef", 6), 6);
	struct io_event ev[8];
	struct timespec none = {0, 0}, some = {0, 30000000};
	EQ(io_getevents(c, 1, 4, ev, &none), 0);
	int64_t from = now_ns();
	EQ(io_getevents(c, 1, 4, ev, &some), 0);
	CHECK(now_ns() - from >= 30000000);
	ERR(io_getevents(c, 2, 1, ev, NULL), EINVAL);
	ERR(io_getevents(c, -1, 1, ev, NULL), EINVAL);
	char buf[3][10];
	struct iocb i[3];
	struct iocb *list[3];
	for (int k = 0; k < 3; k++) {
		i[k] = make(IOCB_CMD_PREAD, fd, buf[k], 2, 2 * k);
		i[k].aio_data = k;
		list[k] = &i[k];
	}
	EQ(io_submit(c, 3, list), 3);
	EQ(io_getevents(c, 0, 2, ev, NULL), 2);
	EQ(io_getevents(c, 1, 8, ev + 2, &none), 1);
	for (int k = 0; k < 3; k++) {
		EQ(ev[k].data, k);
		EQ(ev[k].res, 2);
	}
	CHECK(!memcmp(buf[2], "ef", 2));
	EQ(io_submit(c, 1, list), 1);
	ERR(io_getevents(c, 1, 1, BAD, NULL), EFAULT);
	OK(io_destroy(c));
}

TEST(counter)
{
	aio_context_t c = fresh(4);
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600)), efd = OK(eventfd(0, EFD_NONBLOCK));
	struct iocb i = make(IOCB_CMD_PWRITE, fd, "abc", 3, 0), j;
	i.aio_flags = IOCB_FLAG_RESFD;
	i.aio_resfd = efd;
	j = i;
	struct iocb *list[2] = {&i, &j};
	EQ(io_submit(c, 2, list), 2);
	struct pollfd p = {efd, POLLIN, 0};
	uint64_t n = 0;
	for (uint64_t sum = 0; sum < 2; sum += n) {
		EQ(poll(&p, 1, 5000), 1);
		EQ(read(efd, &n, 8), 8);
	}
	struct io_event ev[2];
	EQ(io_getevents(c, 2, 2, ev, NULL), 2);
	OK(io_destroy(c));
}

TEST(polls)
{
	aio_context_t c = fresh(4);
	int p[2];
	OK(pipe(p));
	struct iocb i = make(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
	struct iocb *list[1] = {&i};
	EQ(io_submit(c, 1, list), 1);
	struct io_event ev;
	struct timespec none = {0, 0};
	EQ(io_getevents(c, 1, 1, &ev, &none), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(io_getevents(c, 1, 1, &ev, NULL), 1);
	CHECK(ev.res & POLLIN);
	EQ(one(c, &i), POLLIN); /* at once */
	char x;
	EQ(read(p[0], &x, 1), 1);
	EQ(io_submit(c, 1, list), 1);
	pid_t pid = OK(fork());
	if (!pid) {
		sleep_ms(30);
		EQ(write(p[1], "y", 1), 1);
		_exit(0);
	}
	EQ(io_getevents(c, 1, 1, &ev, NULL), 1);
	CHECK(ev.res & POLLIN);
	REAP_OK(pid);
	EQ(read(p[0], &x, 1), 1);
	/* cancelled */
	EQ(io_submit(c, 1, list), 1);
	ERR(io_cancel(c, &i, &ev), EINPROGRESS);
	EQ(io_getevents(c, 1, 1, &ev, NULL), 1);
	EQ(ev.res, 0);
	ERR(io_cancel(c, &i, &ev), EINVAL);
	ERR(io_cancel(c, BAD, &ev), EFAULT);
	ERR(io_cancel(c + 4096 * 1000, &i, &ev), EINVAL);
	/* destroyed while it waits */
	EQ(io_submit(c, 1, list), 1);
	OK(io_destroy(c));
	OK(close(p[0]));
	signal(SIGPIPE, SIG_IGN);
	for (int k = 0; k < 2000; k++) { /* the request may keep the file for a moment */
		if (write(p[1], "z", 1) == -1)
			break;
		sleep_ms(1);
	}
	ERR(write(p[1], "z", 1), EPIPE);
}

static volatile int ticks;
static void tick(int sig)
{
	(void)sig;
	ticks++;
}

TEST(signals)
{
	aio_context_t c = fresh(4);
	struct io_event ev;
	handle(SIGALRM, tick, SA_RESTART);
	alarm(1);
	ERR(io_getevents(c, 1, 1, &ev, NULL), EINTR);
	EQ(ticks, 1);
	/* with a mask for the time of the call */
	sigset_t blocked = set_of(SIGALRM), open;
	sigemptyset(&open);
	OK(sigprocmask(SIG_BLOCK, &blocked, NULL));
	raise(SIGALRM);
	struct {
		sigset_t *mask;
		size_t size;
	} arg = {&open, 8};
	ERR(syscall(SYS_io_pgetevents, c, 1, 1, &ev, NULL, &arg), EINTR);
	EQ(ticks, 2);
	struct timespec none = {0, 1000000};
	EQ(syscall(SYS_io_pgetevents, c, 1, 1, &ev, &none, &arg), 0);
	arg.size = 4;
	ERR(syscall(SYS_io_pgetevents, c, 1, 1, &ev, &none, &arg), EINVAL);
	ERR(syscall(SYS_io_pgetevents, c, 1, 1, &ev, &none, BAD), EFAULT);
	EQ(syscall(SYS_io_pgetevents, c, 1, 1, &ev, &none, NULL), 0);
	OK(io_destroy(c));
}

TEST(full)
{
	aio_context_t c = fresh(2);
	int p[2];
	OK(pipe(p));
	struct iocb i = make(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
	struct iocb *list[1] = {&i};
	int n = 0;
	while (n < 100000 && io_submit(c, 1, list) == 1)
		n++;
	EQ(errno, EAGAIN);
	CHECK(n >= 2);
	OK(io_destroy(c));
}
