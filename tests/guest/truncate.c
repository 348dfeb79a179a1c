/* truncate(2), ftruncate(2), fallocate(2), posix_fallocate(3): file sizes and holes. */
#include "check.h"
#include <linux/falloc.h>

static off_t size_of(int fd)
{
	struct stat st;
	OK(fstat(fd, &st));
	return st.st_size;
}

TEST(shrink_and_grow)
{
	char buf[16];
	make_file("f", "0123456789");
	int fd = OK(open("f", O_RDWR));
	OK(ftruncate(fd, 4));
	EQ(size_of(fd), 4);
	OK(truncate("f", 8));
	EQ(size_of(fd), 8);
	EQ(pread(fd, buf, 16, 0), 8);
	CHECK(!memcmp(buf, "0123\0\0\0\0", 8)); /* what was cut off is gone */
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	OK(lseek(fd, 6, SEEK_SET));
	OK(ftruncate(fd, 2));
	EQ(read(fd, buf, 4), 0);
	EQ(write(fd, "x", 1), 1);
	EQ(size_of(fd), 7);
	OK(ftruncate(fd, 0));
	OK(ftruncate(fd, 1LL << 40)); /* a hole of a terabyte costs nothing */
	EQ(size_of(fd), 1LL << 40);
	EQ(pread(fd, buf, 1, (1LL << 40) - 1), 1);
	EQ(buf[0], 0);
}

TEST(errors)
{
	int p[2];
	make_file("f", "x");
	OK(mkdir("d", 0755));
	int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY)), d = OK(open("d", O_RDONLY));
	OK(pipe(p));
	ERR(ftruncate(r, 0), EINVAL);
	ERR(ftruncate(w, -1), EINVAL);
	ERR(ftruncate(999, 0), EBADF);
	ERR(ftruncate(p[1], 0), EINVAL);
	ERR(ftruncate(d, 0), EINVAL);
	ERR(truncate("f", -1), EINVAL);
	ERR(truncate("d", 0), EISDIR);
	ERR(truncate("missing", 0), ENOENT);
	ERR(truncate("f/x", 0), ENOTDIR);
	ERR(truncate(BAD, 0), EFAULT);
	ERR(truncate("", 0), ENOENT);
	OK(mkfifo("fifo", 0600));
	ERR(truncate("fifo", 0), EINVAL);
}

TEST(times_and_set_id)
{
	struct stat a, b;
	make_file("f", "12345");
	OK(chmod("f", 06777));
	OK(stat("f", &a));
	sleep_ms(20);
	OK(truncate("f", 3));
	OK(stat("f", &b));
	CHECK(b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec != a.st_mtim.tv_nsec);
	CHECK(b.st_ctim.tv_sec > a.st_ctim.tv_sec || b.st_ctim.tv_nsec != a.st_ctim.tv_nsec);
	if (geteuid() != 0)
		EQ(b.st_mode & 06000, 0);
}

static int fallocates(int fd, int mode, off_t at, off_t len)
{
	int r = fallocate(fd, mode, at, len);
	if (r == -1 && errno == EOPNOTSUPP)
		SKIP("not on this file system");
	return r;
}

TEST(allocate)
{
	char buf[8];
	make_file("f", "abc");
	int fd = OK(open("f", O_RDWR));
	OK(fallocates(fd, 0, 0, 8192));
	EQ(size_of(fd), 8192);
	EQ(pread(fd, buf, 8, 0), 8);
	CHECK(!memcmp(buf, "abc\0\0\0\0\0", 8));
	OK(fallocates(fd, FALLOC_FL_KEEP_SIZE, 0, 16384));
	EQ(size_of(fd), 8192);
	EQ(posix_fallocate(fd, 0, 10000), 0);
	EQ(size_of(fd), 10000);
	struct stat st;
	OK(fstat(fd, &st));
	CHECK(st.st_blocks * 512 >= 8192);
}

TEST(punch_hole)
{
	static char buf[16384], zero[4096];
	memset(buf, 'x', sizeof buf);
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	EQ(write(fd, buf, sizeof buf), sizeof buf);
	OK(fallocates(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
	EQ(size_of(fd), sizeof buf);
	EQ(pread(fd, buf, 4096, 4096), 4096);
	EQ(memcmp(buf, zero, 4096), 0);
	EQ(pread(fd, buf, 1, 8192), 1);
	EQ(buf[0], 'x');
	EQ(pread(fd, buf, 1, 4095), 1);
	EQ(buf[0], 'x');
}

TEST(allocate_errors)
{
	int p[2];
	make_file("f", "abc");
	int fd = OK(open("f", O_RDWR)), r = OK(open("f", O_RDONLY));
	OK(fallocates(fd, 0, 0, 1));
	ERR(fallocate(fd, 0, -1, 10), EINVAL);
	ERR(fallocate(fd, 0, 0, 0), EINVAL);
	ERR(fallocate(fd, 0, 0, -1), EINVAL);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP); /* needs KEEP_SIZE */
	ERR(fallocate(r, 0, 0, 10), EBADF);
	ERR(fallocate(999, 0, 0, 10), EBADF);
	OK(pipe(p));
	ERR(fallocate(p[1], 0, 0, 10), ESPIPE);
	ERR(fallocate(fd, 0, LLONG_MAX - 10, 100), EFBIG);
}
