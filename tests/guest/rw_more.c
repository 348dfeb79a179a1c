/* pwritev2(2), sync_file_range(2). */
#include "check.h"
#include <sys/uio.h>

#ifndef RWF_HIPRI
#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4
#define RWF_NOWAIT 8
#endif
#ifndef RWF_APPEND
#define RWF_APPEND 16
#endif

static ssize_t write2(int fd, const struct iovec *iov, unsigned long count, off_t offset, int flags)
{
	return syscall(SYS_pwritev2, fd, iov, count, offset, 0L, flags);
}

static void contains(const char *path, const char *text)
{
	char buf[256];
	int fd = OK(open(path, O_RDONLY));
	ssize_t n = OK(read(fd, buf, sizeof buf - 1));
	buf[n] = 0;
	STR(buf, text);
	OK(close(fd));
}

TEST(where_it_writes)
{
	struct iovec two[2] = {{"ab", 2}, {"cd", 2}}, one[1] = {{"X", 1}};
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	EQ(write2(fd, two, 2, -1, 0), 4); /* -1: at the position, which moves */
	EQ(lseek(fd, 0, SEEK_CUR), 4);
	EQ(write2(fd, one, 1, 1, 0), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 4);
	contains("f", "aXcd");
	EQ(write2(fd, two, 2, 6, 0), 4);
	EQ(lseek(fd, 0, SEEK_END), 10);
	OK(lseek(fd, 2, SEEK_SET));
	EQ(write2(fd, one, 1, -1, RWF_DSYNC), 1);
	EQ(write2(fd, one, 1, -1, RWF_SYNC), 1);
	EQ(write2(fd, one, 1, 0, RWF_DSYNC | RWF_SYNC), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 4);
	OK(ftruncate(fd, 4));
	contains("f", "XXXX");
	EQ(write2(fd, one, 0, -1, 0), 0);
	EQ(write2(fd, one, 0, 0, RWF_SYNC), 0);
}

TEST(appending_once)
{
	struct iovec one[1] = {{"end", 3}};
	make_file("f", "text");
	int fd = OK(open("f", O_RDWR));
	EQ(write2(fd, one, 1, 0, RWF_APPEND), 3); /* the offset does not count */
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	contains("f", "textend");
	EQ(write2(fd, one, 1, -1, RWF_APPEND), 3);
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	contains("f", "textendend");
	EQ(write2(fd, one, 1, 0, 0), 3); /* the file was not opened so */
	contains("f", "endtendend");
}

TEST(without_waiting)
{
	static char data[65536];
	struct iovec one[1] = {{data, sizeof data}}, small[1] = {{"now", 3}};
	int p[2], fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	ssize_t n = write2(fd, small, 1, 0, RWF_NOWAIT);
	if (n == -1)
		CHECK(errno == EOPNOTSUPP || errno == EAGAIN); /* the file system's choice */
	else
		EQ(n, 3);
	OK(pipe(p));
	n = write2(p[1], one, 1, -1, RWF_NOWAIT);
	if (n == -1) {
		EQ(errno, EOPNOTSUPP);
		SKIP("no RWF_NOWAIT for pipes");
	}
	EQ(n, sizeof data);
	ERR(write2(p[1], one, 1, -1, RWF_NOWAIT), EAGAIN); /* full, and the descriptor itself would wait */
	EQ(read(p[0], data, 8192), 8192);
	n = write2(p[1], one, 1, -1, RWF_NOWAIT);
	CHECK(n > 0 && n < (ssize_t)sizeof data);
}

TEST(errors)
{
	static struct iovec many[1025];
	struct iovec one[1] = {{"x", 1}}, bad[1] = {{BAD, 10}}, negative[1] = {{"x", -1}};
	int p[2], fd = OK(open("f", O_RDWR | O_CREAT, 0644)), ro = OK(open("f", O_RDONLY));
	ERR(write2(fd, one, 1, 0, 1 << 30), EOPNOTSUPP);
	ERR(write2(fd, one, 1, -2, 0), EINVAL);
	ERR(write2(ro, one, 1, 0, 0), EBADF);
	ERR(write2(-1, one, 1, 0, 0), EBADF);
	ERR(write2(fd, bad, 1, 0, 0), EFAULT);
	ERR(write2(fd, BAD, 1, 0, 0), EFAULT);
	ERR(write2(fd, many, 1025, 0, 0), EINVAL);
	ERR(write2(fd, negative, 1, 0, 0), EINVAL);
	OK(pipe(p));
	ERR(write2(p[1], one, 1, 0, 0), ESPIPE);
	EQ(write2(p[1], one, 1, -1, 0), 1);
	OK(close(p[0]));
	handle(SIGPIPE, SIG_IGN, 0);
	ERR(write2(p[1], one, 1, -1, 0), EPIPE);
}

static long range(int fd, off_t offset, off_t size, unsigned flags)
{
	return syscall(SYS_sync_file_range, fd, offset, size, flags);
}

TEST(ranges)
{
	int p[2], fd = OK(open("f", O_RDWR | O_CREAT, 0644));
	EQ(pwrite(fd, "text", 4, 8192), 4);
	for (unsigned flags = 0; flags < 8; flags++)
		OK(range(fd, 0, 4096, flags));
	OK(range(fd, 4096, 0, 2)); /* 0: to the end */
	OK(range(fd, 1 << 20, 10, 7));
	OK(range(OK(open("f", O_RDONLY)), 0, 0, 7));
	OK(range(OK(open(".", O_RDONLY)), 0, 0, 7));
	ERR(range(fd, 0, 1, 8), EINVAL);
	ERR(range(fd, -1, 1, 2), EINVAL);
	ERR(range(fd, 0, -1, 2), EINVAL);
	ERR(range(fd, LLONG_MAX, 2, 2), EINVAL);
	ERR(range(-1, 0, 0, 2), EBADF);
	ERR(range(OK(open("f", O_PATH)), 0, 0, 2), EBADF);
	OK(pipe(p));
	ERR(range(p[0], 0, 0, 2), ESPIPE);
	ERR(range(p[0], -1, 0, 2), EINVAL);
}
