/* setxattr(2), getxattr(2), listxattr(2), removexattr(2): the forms for a link itself and for a descriptor. */
#include "check.h"
#include <sys/xattr.h>

static void need_user(const char *path)
{
	if (setxattr(path, "user.one", "value", 5, 0) == -1) {
		EQ(errno, EOPNOTSUPP);
		SKIP("no user attributes here");
	}
}

static int lists(const char *list, ssize_t size, const char *name)
{
	for (const char *p = list; p < list + size; p += strlen(p) + 1)
		if (!strcmp(p, name))
			return 1;
	return 0;
}

TEST(by_descriptor)
{
	char buf[256];
	make_file("f", "");
	need_user("f");
	int fd = OK(open("f", O_RDONLY)); /* the file's mode counts, not how it was opened */
	EQ(fgetxattr(fd, "user.one", buf, sizeof buf), 5);
	CHECK(!memcmp(buf, "value", 5));
	EQ(fgetxattr(fd, "user.one", NULL, 0), 5);
	ERR(fgetxattr(fd, "user.one", buf, 4), ERANGE);
	ERR(fgetxattr(fd, "user.one", BAD, 64), EFAULT);
	OK(fsetxattr(fd, "user.two", "xyz", 3, XATTR_CREATE));
	ERR(fsetxattr(fd, "user.two", "xyz", 3, XATTR_CREATE), EEXIST);
	OK(fsetxattr(fd, "user.two", "zz", 2, XATTR_REPLACE));
	ERR(fsetxattr(fd, "user.none", "", 0, XATTR_REPLACE), ENODATA);
	ERR(fsetxattr(fd, "user.two", "", 0, 4), EINVAL);
	OK(fsetxattr(fd, "user.empty", NULL, 0, 0));
	EQ(fgetxattr(fd, "user.empty", buf, sizeof buf), 0);
	ERR(fsetxattr(fd, "user.two", BAD, 3, 0), EFAULT);
	ERR(fsetxattr(fd, "user.two", buf, 65537, 0), E2BIG);
	EQ(getxattr("f", "user.two", buf, sizeof buf), 2);
	ssize_t n = OK(flistxattr(fd, buf, sizeof buf));
	CHECK(lists(buf, n, "user.one") && lists(buf, n, "user.two") && lists(buf, n, "user.empty"));
	EQ(flistxattr(fd, NULL, 0), n);
	ERR(flistxattr(fd, buf, 3), ERANGE);
	ERR(flistxattr(fd, BAD, 256), EFAULT);
	OK(fremovexattr(fd, "user.one"));
	ERR(fremovexattr(fd, "user.one"), ENODATA);
	ERR(getxattr("f", "user.one", buf, sizeof buf), ENODATA);
	OK(unlink("f"));
	OK(fsetxattr(fd, "user.late", "v", 1, 0)); /* a file without a name has them too */
	EQ(fgetxattr(fd, "user.late", buf, sizeof buf), 1);
}

TEST(of_a_directory)
{
	char buf[256];
	OK(mkdir("d", 0755));
	need_user("d");
	int fd = OK(open("d", O_RDONLY));
	EQ(fgetxattr(fd, "user.one", buf, sizeof buf), 5);
	EQ(lgetxattr("d", "user.one", buf, sizeof buf), 5);
	OK(fremovexattr(fd, "user.one"));
	ERR(lgetxattr("d", "user.one", buf, sizeof buf), ENODATA);
}

TEST(of_a_link_itself)
{
	char buf[256];
	make_file("f", "");
	OK(symlink("f", "l"));
	OK(symlink("nowhere", "broken"));
	need_user("l");
	EQ(lgetxattr("f", "user.one", buf, sizeof buf), 5); /* setxattr followed it */
	ERR(lgetxattr("l", "user.one", buf, sizeof buf), ENODATA);
	ERR(lsetxattr("l", "user.two", "v", 1, 0), EPERM); /* xattr(7): files and directories only */
	ERR(lremovexattr("l", "user.one"), EPERM);
	ssize_t n = OK(llistxattr("l", buf, sizeof buf));
	CHECK(!lists(buf, n, "user.one"));
	n = OK(llistxattr("f", buf, sizeof buf));
	CHECK(lists(buf, n, "user.one"));
	OK(llistxattr("broken", buf, sizeof buf));
	ERR(listxattr("broken", buf, sizeof buf), ENOENT);
	OK(lsetxattr("f", "user.three", "abc", 3, 0));
	EQ(getxattr("l", "user.three", buf, sizeof buf), 3);
	OK(lremovexattr("f", "user.three"));
	ERR(lgetxattr("f", "user.three", buf, sizeof buf), ENODATA);
}

/* trusted.* is a link's too, and root's only. */
TEST(trusted)
{
	char buf[256];
	NEED_ROOT();
	make_file("f", "");
	OK(chmod("f", 0666));
	OK(symlink("f", "l"));
	if (lsetxattr("l", "trusted.one", "value", 5, 0) == -1) {
		CHECK(errno == EOPNOTSUPP || errno == EPERM);
		SKIP("no trusted attributes here");
	}
	EQ(lgetxattr("l", "trusted.one", buf, sizeof buf), 5);
	ERR(lgetxattr("f", "trusted.one", buf, sizeof buf), ENODATA);
	ssize_t n = OK(llistxattr("l", buf, sizeof buf));
	CHECK(lists(buf, n, "trusted.one"));
	IN_CHILD {
		OK(setuid(1000));
		ERR(lgetxattr("l", "trusted.one", buf, sizeof buf), ENODATA);
		ERR(lsetxattr("f", "trusted.two", "v", 1, 0), EPERM);
		ERR(lremovexattr("l", "trusted.one"), EPERM);
		n = OK(llistxattr("l", buf, sizeof buf));
		CHECK(!lists(buf, n, "trusted.one"));
	}
	OK(lremovexattr("l", "trusted.one"));
	ERR(lgetxattr("l", "trusted.one", buf, sizeof buf), ENODATA);
}

TEST(who_may)
{
	char buf[64];
	NEED_ROOT();
	make_file("f", "");
	need_user("f");
	int fd = OK(open("f", O_RDONLY));
	IN_CHILD {
		OK(setuid(1000));
		EQ(lgetxattr("f", "user.one", buf, sizeof buf), 5);
		ERR(lsetxattr("f", "user.one", "v", 1, 0), EACCES);
		ERR(fsetxattr(fd, "user.one", "v", 1, 0), EACCES);
		ERR(fremovexattr(fd, "user.one"), EACCES);
		ERR(lremovexattr("f", "user.one"), EACCES);
	}
	OK(chmod("f", 0600));
	IN_CHILD {
		OK(setuid(1000));
		ERR(lgetxattr("f", "user.one", buf, sizeof buf), EACCES);
		ERR(fgetxattr(fd, "user.one", buf, sizeof buf), EACCES);
		OK(llistxattr("f", buf, sizeof buf)); /* their names are nobody's secret */
	}
}

TEST(errors)
{
	char buf[256], name[300] = "user.";
	int p[2];
	make_file("f", "");
	need_user("f");
	int fd = OK(open("f", O_RDWR)), path_fd = OK(open("f", O_PATH));
	memset(name + 5, 'n', 260);
	ERR(fsetxattr(fd, name, "", 0, 0), ERANGE);
	ERR(fgetxattr(fd, name, buf, sizeof buf), ERANGE);
	ERR(fremovexattr(fd, name), ERANGE);
	ERR(lsetxattr("f", "", "", 0, 0), ERANGE);
	ERR(lsetxattr("f", "user.", "", 0, 0), EINVAL);
	ERR(lsetxattr("f", "bogus.x", "", 0, 0), EOPNOTSUPP);
	ERR(lgetxattr("f", "bogus.x", buf, sizeof buf), EOPNOTSUPP);
	ERR(fsetxattr(fd, BAD, "", 0, 0), EFAULT);
	ERR(fgetxattr(fd, BAD, buf, 1), EFAULT);
	ERR(lremovexattr("f", BAD), EFAULT);
	ERR(lgetxattr("missing", "user.one", buf, sizeof buf), ENOENT);
	ERR(llistxattr("missing", buf, sizeof buf), ENOENT);
	ERR(lremovexattr("missing", "user.one"), ENOENT);
	ERR(lsetxattr("f/x", "user.one", "", 0, 0), ENOTDIR);
	ERR(llistxattr(BAD, buf, sizeof buf), EFAULT);
	ERR(fgetxattr(-1, "user.one", buf, sizeof buf), EBADF);
	ERR(fsetxattr(999, "user.one", "", 0, 0), EBADF);
	ERR(flistxattr(999, buf, sizeof buf), EBADF);
	ERR(fremovexattr(999, "user.one"), EBADF);
	ERR(fgetxattr(path_fd, "user.one", buf, sizeof buf), EBADF);
	ERR(fsetxattr(path_fd, "user.one", "", 0, 0), EBADF);
	ERR(flistxattr(path_fd, buf, sizeof buf), EBADF);
	ERR(fremovexattr(path_fd, "user.one"), EBADF);
	OK(pipe(p));
	ERR(fsetxattr(p[0], "user.one", "", 0, 0), EPERM);
	ERR(fgetxattr(p[0], "user.one", buf, sizeof buf), ENODATA);
}
