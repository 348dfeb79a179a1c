/* chmod(2), chown(2), access(2), umask(2), path_resolution(7): who may do what. */
#include "check.h"
#include <grp.h>
#include <sys/prctl.h>

#define USER 12345
#define GROUP 23456

static mode_t mode_of(const char *path)
{
	struct stat st;
	OK(lstat(path, &st));
	return st.st_mode & 07777;
}

/* From here on an ordinary user without groups. */
static void drop(uid_t uid, gid_t gid)
{
	OK(setgroups(0, NULL));
	OK(setgid(gid));
	OK(setuid(uid));
}

TEST(umask_rules)
{
	umask(022);
	EQ(umask(0777), 022);
	EQ(umask(01777), 0777);
	EQ(umask(0), 0777); /* only permission bits are kept */
	make_file("f", "");
	EQ(mode_of("f"), 0644);
	umask(077);
	OK(close(OK(open("g", O_RDWR | O_CREAT, 0666))));
	EQ(mode_of("g"), 0600);
	OK(mkfifo("p", 0666));
	EQ(mode_of("p"), 0600);
	IN_CHILD {
		EQ(umask(0), 077);
	}
	EQ(umask(0), 077);
}

TEST(chmod_rules)
{
	make_file("f", "");
	OK(chmod("f", 07777));
	EQ(mode_of("f"), 07777);
	OK(chmod("f", 0170000 | 0640));
	EQ(mode_of("f"), 0640);
	int fd = OK(open("f", O_RDONLY));
	OK(fchmod(fd, 0400));
	EQ(mode_of("f"), 0400);
	OK(symlink("f", "l"));
	OK(chmod("l", 0600));
	EQ(mode_of("f"), 0600);
	EQ(mode_of("l"), 0777);
	OK(fchmodat(AT_FDCWD, "l", 0611, 0));
	EQ(mode_of("f"), 0611);
	ERR(chmod("missing", 0600), ENOENT);
	ERR(chmod("f/x", 0600), ENOTDIR);
	ERR(chmod(BAD, 0600), EFAULT);
	ERR(fchmod(999, 0600), EBADF);
	OK(mkdir("d", 0));
	EQ(mode_of("d"), 0);
}

TEST(chown_rules)
{
	NEED_ROOT();
	struct stat st;
	make_file("f", "");
	OK(symlink("f", "l"));
	OK(chown("f", USER, GROUP));
	OK(stat("f", &st));
	EQ(st.st_uid, USER);
	EQ(st.st_gid, GROUP);
	OK(chown("f", -1, 7));
	OK(chown("f", 8, -1));
	OK(stat("f", &st));
	EQ(st.st_uid, 8);
	EQ(st.st_gid, 7);
	OK(lchown("l", 5, 6));
	OK(stat("f", &st));
	EQ(st.st_uid, 8);
	OK(lstat("l", &st));
	EQ(st.st_uid, 5);
	OK(chown("l", 9, 9));
	OK(stat("f", &st));
	EQ(st.st_uid, 9);
	int fd = OK(open("f", O_RDONLY));
	OK(fchown(fd, 1, 2));
	OK(fchownat(AT_FDCWD, "l", 3, 4, AT_SYMLINK_NOFOLLOW));
	OK(fchownat(fd, "", 3, 4, AT_EMPTY_PATH));
	OK(fstat(fd, &st));
	EQ(st.st_uid, 3);
	OK(chmod("f", 06755));
	OK(chown("f", 1, 1));
	EQ(mode_of("f"), 0755); /* set-id bits are lost */
	ERR(chown("missing", 1, 1), ENOENT);
	ERR(chown(BAD, 1, 1), EFAULT);
	ERR(fchown(999, 1, 1), EBADF);
}

TEST(user_is_refused)
{
	NEED_ROOT();
	make_file("root", "x");
	OK(chmod("root", 0600));
	OK(mkdir("closed", 0700));
	make_file("closed/f", "x");
	OK(chmod("closed/f", 0666));
	OK(mkdir("readonly", 0755));
	make_file("readonly/f", "x");
	IN_CHILD {
		drop(USER, GROUP);
		ERR(open("root", O_RDONLY), EACCES);
		ERR(open("root", O_WRONLY), EACCES);
		ERR(access("root", R_OK), EACCES);
		EQ(access("root", F_OK), 0);
		ERR(open("closed/f", O_RDONLY), EACCES);
		ERR(access("closed/f", F_OK), EACCES);
		ERR(open("closed", O_RDONLY), EACCES);
		ERR(chdir("closed"), EACCES);
		ERR(open("readonly/new", O_RDWR | O_CREAT, 0600), EACCES);
		ERR(mkdir("readonly/d", 0755), EACCES);
		ERR(unlink("readonly/f"), EACCES);
		ERR(rename("readonly/f", "readonly/g"), EACCES);
		ERR(symlink("x", "readonly/l"), EACCES);
		CHECK(link("readonly/f", "readonly/l") == -1 && (errno == EACCES || errno == EPERM)); /* EPERM: protected_hardlinks */
		ERR(truncate("readonly/f", 0), EACCES);
		ERR(chmod("readonly/f", 0666), EPERM);
		ERR(chown("readonly/f", USER, GROUP), EPERM);
		ERR(utimensat(AT_FDCWD, "readonly/f", NULL, 0), EACCES);
		struct timespec ts[2] = {{1, 0}, {2, 0}};
		ERR(utimensat(AT_FDCWD, "readonly/f", ts, 0), EPERM);
		ERR(open("readonly/f", O_RDONLY | O_NOATIME), EPERM);
		EQ(close(open("readonly/f", O_RDONLY)), 0);
		struct stat st;
		OK(stat("root", &st)); /* stat needs no right on the file itself */
	}
}

TEST(owner_group_other)
{
	NEED_ROOT();
	make_file("f", "x");
	OK(chown("f", USER, GROUP));
	static const struct { int mode; uid_t uid; gid_t gid; int ok; } cases[] = {
		{0400, USER, 1, 1}, {0040, USER, GROUP, 0}, {0004, USER, GROUP, 0}, {0440, USER + 1, GROUP, 1}, {0404, USER + 1, GROUP, 0},
		{0404, USER + 1, 1, 1}, {0440, USER + 1, 1, 0}, {0000, USER, GROUP, 0}};
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		OK(chmod("f", cases[i].mode));
		IN_CHILD {
			drop(cases[i].uid, cases[i].gid);
			EQ(open("f", O_RDONLY) >= 0, cases[i].ok);
			EQ(access("f", R_OK) == 0, cases[i].ok);
		}
	}
	OK(chmod("f", 0040));
	IN_CHILD { /* by a supplementary group */
		gid_t g = GROUP;
		OK(setgroups(1, &g));
		OK(setgid(1));
		OK(setuid(USER + 1));
		OK(close(OK(open("f", O_RDONLY))));
	}
}

TEST(owner_may)
{
	NEED_ROOT();
	OK(mkdir("home", 0700));
	OK(chown("home", USER, GROUP));
	IN_CHILD {
		drop(USER, GROUP);
		OK(chdir("home"));
		make_file("f", "x");
		struct stat st;
		OK(stat("f", &st));
		EQ(st.st_uid, USER);
		EQ(st.st_gid, GROUP);
		OK(chmod("f", 0));
		ERR(open("f", O_RDONLY), EACCES);
		OK(chmod("f", 0600));
		ERR(chown("f", 0, -1), EPERM);
		ERR(chown("f", -1, 0), EPERM);
		OK(chown("f", -1, GROUP));
		OK(chmod("f", 02755));
		OK(utimensat(AT_FDCWD, "f", NULL, 0));
		ERR(mknod("null", S_IFCHR | 0666, 0x103), EPERM);
	}
}

TEST(sticky_directory)
{
	NEED_ROOT();
	OK(mkdir("t", 0777));
	OK(chmod("t", 01777));
	make_file("t/f", "x");
	OK(mkdir("t/d", 0777));
	IN_CHILD {
		drop(USER, GROUP);
		ERR(unlink("t/f"), EPERM);
		ERR(rename("t/f", "t/g"), EPERM);
		ERR(rmdir("t/d"), EPERM);
		make_file("t/mine", "");
		OK(rename("t/mine", "t/mine2"));
		OK(unlink("t/mine2"));
	}
}

TEST(root_overrides)
{
	NEED_ROOT();
	make_file("f", "x");
	OK(chown("f", USER, GROUP));
	OK(chmod("f", 0));
	OK(close(OK(open("f", O_RDWR))));
	EQ(access("f", R_OK | W_OK), 0);
	ERR(access("f", X_OK), EACCES);
	OK(chmod("f", 0001));
	EQ(access("f", X_OK), 0);
	OK(mkdir("d", 0));
	OK(chdir("d"));
}

TEST(access_uses_real_ids)
{
	NEED_ROOT();
	make_file("f", "x");
	OK(chmod("f", 0600));
	IN_CHILD {
		OK(setresuid(USER, 0, 0));
		ERR(access("f", R_OK), EACCES);
		EQ(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), 0);
		OK(close(OK(open("f", O_RDONLY))));
	}
	ERR(access("f", 8), EINVAL);
	ERR(access("missing", F_OK), ENOENT);
	ERR(access(BAD, F_OK), EFAULT);
	ERR(access("f/", F_OK), ENOTDIR);
	ERR(faccessat(999, "f", F_OK, 0), EBADF);
	OK(symlink("nowhere", "l"));
	ERR(access("l", F_OK), ENOENT);
	EQ(faccessat(AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

TEST(write_clears_set_id)
{
	NEED_ROOT();
	make_file("f", "x");
	OK(chown("f", USER, GROUP));
	OK(chmod("f", 06777));
	IN_CHILD {
		drop(USER + 1, GROUP + 1);
		int fd = OK(open("f", O_WRONLY));
		EQ(write(fd, "y", 1), 1);
	}
	EQ(mode_of("f"), 0777);
}
