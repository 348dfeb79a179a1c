/* name_to_handle_at(2), open_by_handle_at(2). */
#include "check.h"

static struct {
	struct file_handle h;
	unsigned char room[128];
} a, b;

static int name(int dir, const char *path, void *h, int *id, int flags)
{
	((struct file_handle *)h)->handle_bytes = 128;
	return name_to_handle_at(dir, path, h, id, flags);
}

static int same(void)
{
	return a.h.handle_bytes == b.h.handle_bytes && a.h.handle_type == b.h.handle_type &&
	       !memcmp(a.h.f_handle, b.h.f_handle, a.h.handle_bytes);
}

TEST(handles)
{
	int id = -1, id2 = -1;
	make_file("file", "contents");
	make_file("other", "x");
	if (name(AT_FDCWD, "file", &a, &id, 0) == -1 && errno == EOPNOTSUPP)
		SKIP("a file system without handles");
	CHECK(a.h.handle_bytes > 0 && id > 0);
	OK(name(AT_FDCWD, "./file", &b, &id2, 0));
	CHECK(same());
	EQ(id, id2);
	OK(name(AT_FDCWD, "other", &b, &id2, 0));
	CHECK(!same());
	int fd = OK(open("file", O_RDONLY));
	OK(name(fd, "", &b, &id2, AT_EMPTY_PATH));
	CHECK(same());
	OK(symlink("file", "link"));
	OK(name(AT_FDCWD, "link", &b, &id2, AT_SYMLINK_FOLLOW));
	CHECK(same());
	OK(name(AT_FDCWD, "link", &b, &id2, 0));
	CHECK(!same());
	/* the size that is needed */
	b.h.handle_bytes = 0;
	ERR(name_to_handle_at(AT_FDCWD, "file", &b.h, &id2, 0), EOVERFLOW);
	EQ(b.h.handle_bytes, a.h.handle_bytes);
	b.h.handle_bytes = 129;
	ERR(name_to_handle_at(AT_FDCWD, "file", &b.h, &id2, 0), EINVAL);
	ERR(name(AT_FDCWD, "nonesuch", &b, &id2, 0), ENOENT);
	ERR(name(AT_FDCWD, "", &b, &id2, 0), ENOENT);
	ERR(name(AT_FDCWD, "file", &b, &id2, 0x8000), EINVAL);
	ERR(syscall(SYS_name_to_handle_at, AT_FDCWD, "file", BAD, &id2, 0), EFAULT);
	ERR(name(AT_FDCWD, "/proc/self/status", &b, &id2, 0), EOPNOTSUPP);
}

TEST(opening)
{
	NEED_ROOT();
	int id, dir = OK(open(".", O_RDONLY));
	make_file("file", "contents");
	if (name(AT_FDCWD, "file", &a, &id, 0) == -1 && errno == EOPNOTSUPP)
		SKIP("a file system without handles");
	errno = 0;
	int fd = open_by_handle_at(dir, &a.h, O_RDONLY);
	if (fd == -1 && errno == EPERM)
		SKIP("needs CAP_DAC_READ_SEARCH");
	CHECK(fd >= 0);
	char buf[9] = "";
	EQ(read(fd, buf, 8), 8);
	STR(buf, "contents");
	ERR(write(fd, "x", 1), EBADF);
	fd = OK(open_by_handle_at(dir, &a.h, O_WRONLY | O_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(write(fd, "C", 1), 1);
	OK(mkdir("d", 0700));
	OK(name(AT_FDCWD, "d", &b, &id, 0));
	fd = OK(open_by_handle_at(dir, &b.h, O_RDONLY | O_DIRECTORY));
	make_file("d/in", "x");
	struct stat st;
	OK(fstatat(fd, "in", &st, 0));
	ERR(open_by_handle_at(dir, &a.h, O_RDONLY | O_DIRECTORY), ENOTDIR);
	ERR(open_by_handle_at(99, &a.h, O_RDONLY), EBADF);
	ERR(open_by_handle_at(dir, BAD, O_RDONLY), EFAULT);
	b.h.handle_bytes = 0;
	ERR(open_by_handle_at(dir, &b.h, O_RDONLY), EINVAL);
	b.h.handle_bytes = 129;
	ERR(open_by_handle_at(dir, &b.h, O_RDONLY), EINVAL);
	OK(close(fd));
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		ERR(open_by_handle_at(dir, &a.h, O_RDONLY), EPERM);
	}
	OK(unlink("file"));
	OK(close(OK(open("file", O_CREAT | O_WRONLY | O_EXCL, 0600))));
	fd = open_by_handle_at(dir, &a.h, O_RDONLY); /* another inode, or the old one while it is open */
	CHECK(fd >= 0 || errno == ESTALE);
}
