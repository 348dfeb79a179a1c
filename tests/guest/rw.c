/* read(2), write(2), pread(2), readv(2), preadv2(2), lseek(2): plain files. */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

static int file_with(const char *text)
{
	make_file("f", text);
	return OK(open("f", O_RDWR));
}

TEST(read_write_offset)
{
	char buf[32] = {0};
	int fd = file_with("");
	EQ(write(fd, "hello world", 11), 11);
	EQ(lseek(fd, 0, SEEK_CUR), 11);
	EQ(read(fd, buf, 10), 0);
	EQ(lseek(fd, -5, SEEK_END), 6);
	EQ(read(fd, buf, 32), 5);
	STR(buf, "world");
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(read(fd, buf, 0), 0);
	EQ(write(fd, buf, 0), 0);
	EQ(lseek(fd, 2, SEEK_CUR), 2);
	EQ(write(fd, "LL", 2), 2);
	EQ(pread(fd, buf, 11, 0), 11);
	buf[11] = 0;
	STR(buf, "heLLo world");
	EQ(lseek(fd, 0, SEEK_CUR), 4); /* pread leaves the offset */
}

TEST(lseek_rules)
{
	int fd = file_with("12345"), p[2];
	ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	ERR(lseek(fd, -6, SEEK_END), EINVAL);
	ERR(lseek(fd, 0, 99), EINVAL);
	EQ(lseek(fd, 1000000, SEEK_SET), 1000000);
	char c;
	EQ(read(fd, &c, 1), 0);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_size, 5); /* seeking alone makes no file longer */
	OK(pipe(p));
	ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
	ERR(pread(p[0], &c, 1, 0), ESPIPE);
	ERR(pwrite(p[1], &c, 1, 0), ESPIPE);
	ERR(lseek(999, 0, SEEK_SET), EBADF);
}

TEST(seek_data_and_hole)
{
	int fd = file_with("");
	EQ(pwrite(fd, "x", 1, 1 << 20), 1);
	off_t d = lseek(fd, 0, SEEK_DATA);
	CHECK(d >= 0 && d <= 1 << 20); /* a file system may see data everywhere */
	EQ(lseek(fd, d, SEEK_DATA), d);
	EQ(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
	off_t h = lseek(fd, 0, SEEK_HOLE);
	CHECK(h == 0 || h == (1 << 20) + 1);
	ERR(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
	ERR(lseek(fd, (1 << 20) + 1, SEEK_DATA), ENXIO);
}

TEST(holes_read_as_zero)
{
	static char buf[70000];
	int fd = file_with("");
	EQ(pwrite(fd, "end", 3, 65536), 3);
	memset(buf, 1, sizeof buf);
	EQ(read(fd, buf, sizeof buf), 65539);
	for (int i = 0; i < 65536; i++)
		CHECK(buf[i] == 0);
	CHECK(!memcmp(buf + 65536, "end", 3));
}

TEST(vectors)
{
	char a[4] = "", b[8] = "", c[4] = "";
	int fd = file_with("");
	struct iovec w[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
	EQ(writev(fd, w, 3), 8);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	struct iovec r[3] = {{a, 3}, {b, 4}, {c, 4}};
	EQ(readv(fd, r, 3), 8);
	STR(a, "abc");
	STR(b, "defg");
	STR(c, "h");
	EQ(preadv(fd, r, 2, 1), 7);
	STR(a, "bcd");
	STR(b, "efgh");
	EQ(pwritev(fd, w, 3, 8), 8);
	EQ(lseek(fd, 0, SEEK_CUR), 8);
	EQ(preadv2(fd, r, 2, 9, 0), 7);
	EQ(preadv2(fd, r, 1, -1, 0), 3); /* at the offset, and it moves */
	EQ(lseek(fd, 0, SEEK_CUR), 11);
	EQ(readv(fd, r, 0), 0);
	ERR(readv(fd, r, -1), EINVAL);
	ERR(readv(fd, r, 1025), EINVAL);
	ERR(readv(fd, BAD, 1), EFAULT);
	ERR(preadv(fd, r, 1, -2), EINVAL);
	ERR(preadv2(fd, r, 1, 0, 0x40000000), EOPNOTSUPP);
	struct iovec huge[2] = {{a, SSIZE_MAX}, {b, SSIZE_MAX}};
	CHECK(writev(fd, huge, 2) == -1 && (errno == EINVAL || errno == EFAULT)); /* EFAULT: it ends beyond the user's half */
	struct iovec neg[1] = {{a, (size_t)-1}};
	ERR(readv(fd, neg, 1), EINVAL);
}

TEST(bad_pointers)
{
	int fd = file_with("0123456789");
	char *end = page_end();
	ERR(read(fd, BAD, 1), EFAULT);
	ERR(write(fd, BAD, 1), EFAULT);
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	ERR(pread(fd, BAD, 1, 0), EFAULT);
	memcpy(end - 4, "wxyz", 4);
	ssize_t n = write(fd, end - 4, 8); /* what could be read is written, or nothing is */
	CHECK(n == 4 || (n == -1 && errno == EFAULT));
	struct iovec v[2] = {{end - 4, 4}, {BAD, 4}};
	EQ(lseek(fd, 0, SEEK_SET), 0);
	n = writev(fd, v, 2);
	CHECK(n == 4 || (n == -1 && errno == EFAULT));
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(readv(fd, v, 1), 4);
	ERR(read(999, NULL, 0), EBADF);
	ERR(write(999, NULL, 0), EBADF);
	EQ(read(fd, NULL, 0), 0);
	ERR(pread(fd, end - 4, 4, -1), EINVAL);
	ERR(pwrite(fd, end - 4, 4, -1), EINVAL);
}

/* Pages that the program may not read or write are EFAULT, whatever the kernel could do. */
TEST(protected_pages)
{
	int fd = file_with("0123456789");
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(m, "text");
	OK(mprotect(m, 4096, PROT_READ));
	ERR(read(fd, m, 4), EFAULT);
	STR(m, "text");
	EQ(write(fd, m, 4), 4);
	OK(mprotect(m, 4096, PROT_NONE));
	ERR(write(fd, m, 4), EFAULT);
	ERR(open(m, O_RDONLY), EFAULT);
	ERR(stat("/", (struct stat *)m), EFAULT);
}

TEST(one_offset_for_duplicates)
{
	char c;
	int fd = file_with("0123456789"), d = OK(dup(fd)), other = OK(open("f", O_RDONLY));
	EQ(read(fd, &c, 1), 1);
	EQ(read(d, &c, 1), 1);
	EQ(c, '1');
	EQ(read(other, &c, 1), 1);
	EQ(c, '0');
	IN_CHILD {
		EQ(read(fd, &c, 1), 1);
		EQ(c, '2');
	}
	EQ(read(d, &c, 1), 1);
	EQ(c, '3');
}

TEST(large_transfer)
{
	size_t size = 5 << 20;
	unsigned char *buf = malloc(size), *back = malloc(size);
	for (size_t i = 0; i < size; i++)
		buf[i] = i * 2654435761u >> 13;
	int fd = file_with("");
	EQ(write(fd, buf, size), (ssize_t)size);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(read(fd, back, size), (ssize_t)size);
	EQ(memcmp(buf, back, size), 0);
	EQ(pread(fd, back, size, 12345), (ssize_t)size - 12345);
	EQ(memcmp(buf + 12345, back, size - 12345), 0);
	EQ(pwrite(fd, buf, 100000, 7777), 100000);
	EQ(pread(fd, back, 100000, 7777), 100000);
	EQ(memcmp(buf, back, 100000), 0);
}

TEST(file_size_limit)
{
	struct rlimit rl;
	struct stat st;
	OK(getrlimit(RLIMIT_FSIZE, &rl));
	rl.rlim_cur = 10;
	int fd = file_with("");
	signal(SIGXFSZ, SIG_IGN);
	OK(setrlimit(RLIMIT_FSIZE, &rl));
	EQ(write(fd, "123456", 6), 6);
	EQ(write(fd, "123456", 6), 4);
	ERR(write(fd, "1", 1), EFBIG);
	ERR(ftruncate(fd, 11), EFBIG);
	OK(fstat(fd, &st));
	EQ(st.st_size, 10);
	EQ(pwrite(fd, "x", 1, 0), 1);
	pid_t pid = OK(fork());
	if (pid == 0) {
		signal(SIGXFSZ, SIG_DFL);
		(void)!write(fd, "1", 1);
		_exit(0);
	}
	REAP_SIGNAL(pid, SIGXFSZ);
}

TEST(unlinked_file_lives)
{
	char buf[8] = {0};
	int fd = file_with("alive");
	struct stat st;
	OK(unlink("f"));
	ERR(access("f", F_OK), ENOENT);
	EQ(read(fd, buf, 8), 5);
	STR(buf, "alive");
	EQ(pwrite(fd, "AL", 2, 0), 2);
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_size, 5);
}

TEST(sync_calls)
{
	int fd = file_with("x"), p[2];
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(syncfs(fd));
	sync();
	OK(pipe(p));
	ERR(fsync(p[0]), EINVAL);
	ERR(fsync(999), EBADF);
	ERR(fdatasync(999), EBADF);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	EQ(posix_fadvise(999, 0, 0, POSIX_FADV_SEQUENTIAL), EBADF);
	EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
	EQ(posix_fadvise(p[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
	OK(readahead(fd, 0, 4096));
}
