/* setxattrat(2), getxattrat(2), listxattrat(2), removexattrat(2). */
#include "check.h"
#include <sys/xattr.h>

#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

struct args {
	uint64_t value;
	uint32_t size, flags;
	uint64_t more;
};

static long set(int dir, const char *path, unsigned at, const char *name, const char *value, unsigned flags)
{
	struct args a = {(uintptr_t)value, strlen(value), flags, 0};
	return syscall(SYS_setxattrat, dir, path, at, name, &a, 16);
}

static long get(int dir, const char *path, unsigned at, const char *name, char *buf, unsigned size)
{
	struct args a = {(uintptr_t)buf, size, 0, 0};
	return syscall(SYS_getxattrat, dir, path, at, name, &a, 16);
}

TEST(all_four)
{
	make_file("file", "x");
	errno = 0;
	if (set(AT_FDCWD, "file", 0, "user.a", "value", 0) && (errno == ENOSYS || errno == EOPNOTSUPP))
		SKIP("not here");
	char buf[100] = "";
	EQ(get(AT_FDCWD, "file", 0, "user.a", buf, 100), 5);
	STR(buf, "value");
	EQ(get(AT_FDCWD, "file", 0, "user.a", buf, 0), 5);
	ERR(get(AT_FDCWD, "file", 0, "user.a", buf, 4), ERANGE);
	ERR(get(AT_FDCWD, "file", 0, "user.b", buf, 4), ENODATA);
	ERR(set(AT_FDCWD, "file", 0, "user.a", "v", XATTR_CREATE), EEXIST);
	ERR(set(AT_FDCWD, "file", 0, "user.b", "v", XATTR_REPLACE), ENODATA);
	ERR(set(AT_FDCWD, "file", 0, "user.b", "v", 77), EINVAL);
	OK(mkdir("dir", 0755));
	make_file("dir/inner", "x");
	int dir = OK(open("dir", O_RDONLY | O_DIRECTORY)), fd = OK(open("dir/inner", O_RDONLY));
	OK(set(dir, "inner", 0, "user.in", "by the directory", 0));
	EQ(get(fd, "", AT_EMPTY_PATH, "user.in", buf, 100), 16);
	EQ(get(fd, NULL, AT_EMPTY_PATH, "user.in", buf, 100), 16);
	ERR(get(fd, "", 0, "user.in", buf, 100), ENOENT);
	ERR(get(fd, "x", 0, "user.in", buf, 100), ENOTDIR);
	ERR(get(99, "x", 0, "user.in", buf, 100), EBADF);
	OK(set(dir, "inner", 0, "user.other", "", 0));
	long n = OK(syscall(SYS_listxattrat, dir, "inner", 0, buf, 100));
	CHECK(n >= 19 && memmem(buf, n, "user.in", 8) && memmem(buf, n, "user.other", 11));
	EQ(syscall(SYS_listxattrat, dir, "inner", 0, buf, 0), n);
	ERR(syscall(SYS_listxattrat, dir, "inner", 0, buf, 3), ERANGE);
	OK(syscall(SYS_removexattrat, dir, "inner", 0, "user.in"));
	ERR(syscall(SYS_removexattrat, dir, "inner", 0, "user.in"), ENODATA);
	ERR(get(dir, "inner", 0, "user.in", buf, 100), ENODATA);
	/* of a link itself */
	OK(symlink("file", "link"));
	EQ(get(AT_FDCWD, "link", 0, "user.a", buf, 100), 5);
	ERR(get(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", buf, 100), ENODATA);
	ERR(set(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", "v", 0), EPERM);
	ERR(get(AT_FDCWD, "file", 0x8000, "user.a", buf, 100), EINVAL);
}

TEST(the_structure)
{
	make_file("file", "x");
	char buf[10];
	struct args a = {(uintptr_t)buf, 10, 0, 0};
	errno = 0;
	if (set(AT_FDCWD, "file", 0, "user.a", "value", 0) && (errno == ENOSYS || errno == EOPNOTSUPP))
		SKIP("not here");
	EQ(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", &a, sizeof a), 5);
	ERR(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", &a, 15), EINVAL);
	ERR(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", &a, 5000), E2BIG);
	ERR(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", BAD, 16), EFAULT);
	a.more = 1;
	ERR(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", &a, sizeof a), E2BIG);
	a.more = 0, a.flags = 1;
	ERR(syscall(SYS_getxattrat, AT_FDCWD, "file", 0, "user.a", &a, 16), EINVAL);
}
