/* memfd_create(2), fcntl(2) F_ADD_SEALS: files in memory. */
#include "check.h"
#include <sys/mman.h>

#define PAGE 4096L

static int create(const char *name, unsigned flags)
{
	return memfd_create(name, flags);
}

TEST(a_file)
{
	char buf[16] = {0}, link[64], target[64] = {0};
	struct stat st;
	int fd = OK(create("name", MFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(write(fd, "content", 7), 7);
	EQ(pread(fd, buf, 16, 0), 7);
	STR(buf, "content");
	OK(fstat(fd, &st));
	CHECK(S_ISREG(st.st_mode));
	EQ(st.st_size, 7);
	EQ(st.st_nlink, 0);
	OK(ftruncate(fd, 3 * PAGE));
	EQ(lseek(fd, 0, SEEK_END), 3 * PAGE);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	CHECK(readlink(link, target, 63) > 0);
	STR(target, "/memfd:name (deleted)");
	int again = OK(open(link, O_RDWR));
	EQ(read(again, buf, 16), 16);
	CHECK(!memcmp(buf, "content", 7));
	EQ(fcntl(OK(create("", 0)), F_GETFD), 0);
}

TEST(shared_mapping)
{
	int fd = OK(create("m", 0));
	OK(ftruncate(fd, PAGE));
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	IN_CHILD {
		strcpy(p, "child");
		EQ(pwrite(fd, "X", 1, 100), 1);
	}
	STR(p, "child");
	EQ(p[100], 'X');
	OK(close(fd));
	STR(p, "child");
}

TEST(seals)
{
	char c = 0;
	int fd = OK(create("s", MFD_ALLOW_SEALING));
	EQ(fcntl(fd, F_GET_SEALS), 0);
	OK(ftruncate(fd, PAGE));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	ERR(ftruncate(fd, 10), EPERM);
	OK(ftruncate(fd, 2 * PAGE));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	ERR(ftruncate(fd, 3 * PAGE), EPERM);
	ERR(pwrite(fd, "x", 1, 2 * PAGE), EPERM);
	EQ(pwrite(fd, "x", 1, 0), 1);
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	OK(munmap(p, PAGE));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	ERR(pwrite(fd, "y", 1, 0), EPERM);
	EQ(pread(fd, &c, 1, 0), 1);
	EQ(c, 'x');
	ERR((long)mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
}

TEST(seal_errors)
{
	int fd = OK(create("s", 0)), f = OK(open("f", O_RDWR | O_CREAT, 0600));
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
	int p[2];
	OK(pipe(p));
	ERR(fcntl(p[0], F_GET_SEALS), EINVAL);
	ERR(fcntl(999, F_GET_SEALS), EBADF);
	fd = OK(create("s", MFD_ALLOW_SEALING));
	ERR(fcntl(fd, F_ADD_SEALS, 0x8000), EINVAL);
	(void)f;
}

TEST(errors)
{
	char name[300];
	ERR(create("x", 0x8000), EINVAL);
	ERR(create(BAD, 0), EFAULT);
	memset(name, 'n', sizeof name);
	name[249] = 0;
	OK(create(name, 0));
	name[249] = 'n';
	name[250] = 0;
	ERR(create(name, 0), EINVAL);
}
