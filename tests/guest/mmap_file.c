/* mmap(2), msync(2): mappings of files, and what they share with read and write. */
#include "check.h"
#include <setjmp.h>
#include <sys/mman.h>

#define PAGE 4096L

static sigjmp_buf jump;
static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

static int touch(volatile char *p, int write)
{
	handle(SIGSEGV, on_fault, 0);
	handle(SIGBUS, on_fault, 0);
	int sig = sigsetjmp(jump, 1);
	if (sig)
		return sig;
	if (write)
		*p = 'T';
	else
		(void)*p;
	return 0;
}

static int file_of(size_t size)
{
	int fd = OK(open("f", O_RDWR | O_CREAT | O_TRUNC, 0600));
	char *buf = malloc(size + 1);
	for (size_t i = 0; i < size; i++)
		buf[i] = 'a' + i / PAGE % 26;
	EQ(write(fd, buf, size), (ssize_t)size);
	free(buf);
	return fd;
}

static char *map(int fd, size_t size, int prot, int flags, off_t at)
{
	char *p = mmap(NULL, size, prot, flags, fd, at);
	if (p == MAP_FAILED)
		check_failed(__FILE__, __LINE__, "mmap", "a mapping", check_errno(errno));
	return p;
}

#define RW (PROT_READ | PROT_WRITE)

TEST(read_only)
{
	int fd = file_of(3 * PAGE);
	char *p = map(fd, 3 * PAGE, PROT_READ, MAP_PRIVATE, 0), *q = map(fd, PAGE, PROT_READ, MAP_SHARED, 2 * PAGE);
	EQ(p[0], 'a');
	EQ(p[2 * PAGE], 'c');
	EQ(q[0], 'c');
	EQ(touch(p, 1), SIGSEGV);
	OK(close(fd)); /* the mapping lives on */
	EQ(p[PAGE], 'b');
	OK(unlink("f"));
	EQ(p[2 * PAGE + 5], 'c');
}

TEST(private_copies)
{
	char c;
	int fd = file_of(2 * PAGE);
	char *p = map(fd, 2 * PAGE, RW, MAP_PRIVATE, 0);
	p[0] = 'X';
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(c, 'a');
	int ro = OK(open("f", O_RDONLY));
	char *q = map(ro, PAGE, RW, MAP_PRIVATE, 0); /* a copy needs no right to write */
	q[0] = 'Y';
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(c, 'a');
}

/* A shared mapping, read, write and another mapping see the same bytes at once. */
TEST(shared_is_coherent)
{
	char buf[16];
	int fd = file_of(2 * PAGE), other = OK(open("f", O_RDWR));
	char *p = map(fd, 2 * PAGE, RW, MAP_SHARED, 0), *q = map(other, PAGE, PROT_READ, MAP_SHARED, PAGE);
	memcpy(p + 10, "mapped", 6);
	EQ(pread(other, buf, 6, 10), 6);
	CHECK(!memcmp(buf, "mapped", 6));
	EQ(pwrite(other, "written", 7, PAGE + 3), 7);
	CHECK(!memcmp(p + PAGE + 3, "written", 7));
	CHECK(!memcmp(q + 3, "written", 7));
	p[PAGE] = '!';
	EQ(q[0], '!');
	OK(msync(p, 2 * PAGE, MS_SYNC));
	OK(msync(p, PAGE, MS_ASYNC));
	IN_CHILD {
		p[1] = '?';
	}
	EQ(pread(fd, buf, 2, 0), 2);
	EQ(buf[1], '?');
	OK(munmap(p, 2 * PAGE));
	EQ(pread(other, buf, 6, 10), 6);
	CHECK(!memcmp(buf, "mapped", 6));
}

TEST(beyond_the_end)
{
	int fd = file_of(PAGE + 100);
	char *p = map(fd, 4 * PAGE, RW, MAP_SHARED, 0), c;
	EQ(p[PAGE + 99], 'b');
	EQ(p[PAGE + 100], 0); /* the rest of the last page is zero */
	p[PAGE + 200] = 'z';
	EQ(pread(fd, &c, 1, PAGE + 200), 0); /* and does not reach the file */
	EQ(touch(p + 2 * PAGE, 0), SIGBUS);
	EQ(touch(p + 2 * PAGE, 1), SIGBUS);
	OK(ftruncate(fd, 4 * PAGE));
	EQ(touch(p + 2 * PAGE, 1), 0);
	EQ(pread(fd, &c, 1, 2 * PAGE), 1);
	EQ(c, 'T');
	OK(ftruncate(fd, PAGE));
	EQ(touch(p + PAGE, 0), SIGBUS);
	EQ(touch(p + PAGE - 1, 1), 0);
}

TEST(rights)
{
	int fd = file_of(PAGE), ro = OK(open("f", O_RDONLY)), wo = OK(open("f", O_WRONLY)), path = OK(open("f", O_PATH));
	ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0), EACCES);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, wo, 0), EACCES);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0), EACCES);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0), EBADF);
	char *p = map(ro, PAGE, PROT_READ, MAP_SHARED, 0);
	ERR(mprotect(p, PAGE, RW), EACCES);
	p = map(fd, PAGE, PROT_READ, MAP_SHARED, 0);
	OK(mprotect(p, PAGE, RW));
	p[0] = 'w';
}

TEST(errors)
{
	int fd = file_of(PAGE), p[2], d = OK(open(".", O_RDONLY));
	OK(pipe(p));
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
	ERR((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0), EINVAL);
	ERR((long)mmap(NULL, PAGE, PROT_READ, 0, fd, 0), EINVAL);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, p[0], 0), ENODEV);
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, d, 0), ENODEV);
	OK(close(fd));
	ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
	char *m = map(OK(open("f", O_RDWR)), PAGE, RW, MAP_SHARED, 0);
	ERR(msync(m + 1, PAGE, MS_SYNC), EINVAL);
	ERR(msync(m, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	OK(munmap(m, PAGE));
	ERR(msync(m, PAGE, MS_SYNC), ENOMEM);
}

TEST(empty_and_growing)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	char *p = map(fd, PAGE, RW, MAP_SHARED, 0);
	EQ(touch(p, 0), SIGBUS);
	EQ(write(fd, "new", 3), 3);
	CHECK(!memcmp(p, "new", 3));
	p[1] = 'E';
	char buf[4];
	EQ(pread(fd, buf, 4, 0), 3);
	CHECK(!memcmp(buf, "nEw", 3));
}

TEST(read_into_own_mapping)
{
	int fd = file_of(2 * PAGE);
	char *p = map(fd, 2 * PAGE, RW, MAP_SHARED, 0);
	EQ(pread(fd, p, PAGE, PAGE), PAGE); /* source and target are one file */
	EQ(p[0], 'b');
	EQ(pwrite(fd, p + PAGE, 10, 5), 10);
	CHECK(!memcmp(p + 5, "bbbbbbbbbb", 10));
}

TEST(dev_zero)
{
	int fd = OK(open("/dev/zero", O_RDWR));
	char *p = map(fd, PAGE, RW, MAP_PRIVATE, 0);
	EQ(p[0], 0);
	p[0] = 1;
	p = map(fd, PAGE, RW, MAP_SHARED, 0);
	p[0] = 1;
	IN_CHILD {
		p[0] = 2;
	}
	EQ(p[0], 2);
}

TEST(number_reused_after_close)
{
	int fd = file_of(PAGE);
	char *p = map(fd, PAGE, RW, MAP_SHARED, 0);
	OK(close(fd));
	int q[2];
	OK(pipe(q)); /* takes the same number */
	EQ(q[0], fd);
	EQ(write(q[1], "pipe", 4), 4);
	char buf[4];
	EQ(read(fd, buf, 4), 4);
	CHECK(!memcmp(buf, "pipe", 4));
	p[0] = 'k';
	OK(close(fd));
	fd = OK(open("f", O_RDONLY));
	EQ(read(fd, buf, 1), 1);
	EQ(buf[0], 'k');
}

TEST(maps_shows_them)
{
	char line[PATH_MAX + 200], cwd[PATH_MAX], want[PATH_MAX + 2];
	int fd = file_of(2 * PAGE), found = 0;
	char *p = map(fd, 2 * PAGE, PROT_READ, MAP_PRIVATE, 0);
	FILE *m = fopen("/proc/self/maps", "r");
	if (!m)
		SKIP("no /proc/self/maps");
	CHECK(getcwd(cwd, sizeof cwd));
	snprintf(want, sizeof want, "%s/f", cwd);
	while (fgets(line, sizeof line, m)) {
		unsigned long a, b;
		char perm[8];
		EQ(sscanf(line, "%lx-%lx %7s", &a, &b, perm), 3);
		if (a == (unsigned long)p) {
			found = 1;
			EQ(b - a, 2 * PAGE);
			STR(perm, "r--p");
			line[strcspn(line, "\n")] = 0;
			STR(strchr(line, '/'), want);
		}
	}
	EQ(found, 1);
}
