/* acl: POSIX access control lists as extended attributes (acl(5), xattr(7)). */
#include "check.h"
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <grp.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define NO_ID ((uint32_t)-1)

struct list {
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry entries[8];
};

/* "u7 U5:1000 g4 G6:2000 m7 o0": tag, permissions, id */
static size_t build(struct list *l, const char *text)
{
	int n = 0;
	l->head.a_version = POSIX_ACL_XATTR_VERSION;
	for (const char *p = text; *p; n++) {
		static const char tags[] = "uUgGmo";
		static const uint16_t values[] = {ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER};
		l->entries[n].e_tag = values[strchr(tags, *p) - tags];
		l->entries[n].e_perm = p[1] - '0';
		l->entries[n].e_id = NO_ID;
		p += 2;
		if (*p == ':')
			l->entries[n].e_id = strtoul(p + 1, (char **)&p, 10);
		while (*p == ' ')
			p++;
	}
	return sizeof l->head + n * sizeof l->entries[0];
}

static int set(const char *path, const char *name, const char *text)
{
	struct list l;
	size_t size = build(&l, text);
	return setxattr(path, name, &l, size, 0);
}

static void is(const char *path, const char *name, const char *text)
{
	struct list want, got;
	size_t size = build(&want, text);
	EQ(getxattr(path, name, &got, sizeof got), (long)size);
	CHECK(!memcmp(&want, &got, size));
}

static int mode_of(const char *path)
{
	struct stat st;
	OK(stat(path, &st));
	return st.st_mode & 07777;
}

static void need(const char *path)
{
	if (set(path, ACCESS, "u6 U4:1000 g4 m4 o0") == -1) {
		EQ(errno, EOPNOTSUPP);
		SKIP("no lists here");
	}
}

/* What a child with these ids gets from open(path, flags): 0 or an errno. */
static int opened_by(int uid, int gid, int extra, const char *path, int flags)
{
	pid_t pid = OK(fork());
	if (!pid) {
		gid_t group = extra;
		if (setgroups(extra ? 1 : 0, &group) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(99);
		_exit(open(path, flags) >= 0 ? 0 : errno);
	}
	int status;
	OK(waitpid(pid, &status, 0));
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(mode_and_list)
{
	make_file("f", "");
	need("f");
	EQ(mode_of("f"), 0640);
	is("f", ACCESS, "u6 U4:1000 g4 m4 o0");
	OK(chmod("f", 0751)); /* the group bits are the mask */
	is("f", ACCESS, "u7 U4:1000 g4 m5 o1");
	EQ(mode_of("f"), 0751);
	OK(set("f", ACCESS, "u6 g5 o1")); /* says no more than the mode does */
	EQ(mode_of("f"), 0651);
	ERR(getxattr("f", ACCESS, NULL, 0), ENODATA);
	OK(set("f", ACCESS, "u6 g7 m1 o0")); /* a mask is more */
	EQ(mode_of("f"), 0610);
	is("f", ACCESS, "u6 g7 m1 o0");
	OK(removexattr("f", ACCESS));
	ERR(getxattr("f", ACCESS, NULL, 0), ENODATA);
	EQ(mode_of("f"), 0610);
	OK(removexattr("f", ACCESS)); /* none there is no error */
	OK(set("f", ACCESS, "u6 U4:1000 g4 m4 o0"));
	OK(setxattr("f", ACCESS, "", 0, 0));
	ERR(getxattr("f", ACCESS, NULL, 0), ENODATA);
}

TEST(not_valid)
{
	make_file("f", "");
	need("f");
	ERR(set("f", ACCESS, "u6 U4:1000 g4 o0"), EINVAL); /* no mask */
	ERR(set("f", ACCESS, "u6 g4"), EINVAL);
	ERR(set("f", ACCESS, "g4 u6 o0"), EINVAL);
	ERR(set("f", ACCESS, "u6 u6 g4 o0"), EINVAL);
	ERR(set("f", ACCESS, "u6 U4 g4 m4 o0"), EINVAL); /* no user */
	struct list l;
	size_t size = build(&l, "u6 g4 o0");
	ERR(setxattr("f", ACCESS, &l, size - 1, 0), EINVAL);
	ERR(setxattr("f", ACCESS, &l, 3, 0), EINVAL);
	l.entries[0].e_perm = 8;
	ERR(setxattr("f", ACCESS, &l, size, 0), EINVAL);
	build(&l, "u6 g4 o0");
	l.entries[2].e_tag = 0x40;
	ERR(setxattr("f", ACCESS, &l, size, 0), EINVAL);
	l.head.a_version = 1;
	ERR(setxattr("f", ACCESS, &l, size, 0), EOPNOTSUPP);
	l.head.a_version = 2;
	OK(setxattr("f", ACCESS, &l, 4, 0)); /* no entries: none */
	ERR(getxattr("f", ACCESS, NULL, 0), ENODATA);
	ERR(set("f", DEFAULT, "u6 g4 o0"), EACCES); /* only directories */
	OK(removexattr("f", DEFAULT));
	ERR(getxattr("f", "system.other", NULL, 0), EOPNOTSUPP);
	OK(symlink("f", "l"));
	build(&l, "u6 g4 o0");
	ERR(lsetxattr("l", ACCESS, &l, size, 0), EOPNOTSUPP);
	ERR(lgetxattr("l", ACCESS, NULL, 0), EOPNOTSUPP);
}

TEST(who_may)
{
	NEED_ROOT();
	make_file("f", "x");
	need("f");
	OK(chmod(".", 0755));
	OK(chown("f", 500, 600));
	OK(set("f", ACCESS, "u6 U4:1000 U0:1001 g4 G2:2000 m6 o1"));
	EQ(opened_by(500, 99, 0, "f", O_RDWR), 0);
	EQ(opened_by(1000, 99, 0, "f", O_RDONLY), 0);
	EQ(opened_by(1000, 99, 0, "f", O_WRONLY), EACCES);
	EQ(opened_by(1001, 600, 0, "f", O_RDONLY), EACCES); /* a user's entry comes before a group's */
	EQ(opened_by(1002, 600, 0, "f", O_RDONLY), 0);
	EQ(opened_by(1002, 99, 600, "f", O_WRONLY), EACCES);
	EQ(opened_by(1002, 2000, 0, "f", O_WRONLY), 0);
	EQ(opened_by(1002, 2000, 600, "f", O_RDWR), EACCES); /* no one entry has both */
	EQ(opened_by(1002, 2000, 600, "f", O_RDONLY), 0);
	EQ(opened_by(1002, 99, 0, "f", O_RDONLY), EACCES);
	OK(chmod("f", 0600)); /* a mask of nothing */
	EQ(opened_by(1000, 99, 0, "f", O_RDONLY), EACCES);
	EQ(opened_by(1002, 2000, 0, "f", O_WRONLY), EACCES);
	EQ(opened_by(0, 0, 0, "f", O_RDWR), 0);
}

TEST(only_the_owner_sets)
{
	NEED_ROOT();
	make_file("f", "x");
	need("f");
	OK(chmod(".", 0777));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(setresuid(1000, 1000, 1000));
		ERR(set("f", ACCESS, "u6 g4 o0"), EPERM);
		ERR(removexattr("f", ACCESS), EPERM);
		is("f", ACCESS, "u6 U4:1000 g4 m4 o0"); /* whoever reaches it may read it */
		_exit(0);
	}
	int status;
	OK(waitpid(pid, &status, 0));
	EQ(status, 0);
}

TEST(default_list)
{
	make_file("probe", "");
	need("probe");
	OK(mkdir("d", 0755));
	OK(set("d", DEFAULT, "u7 U7:1000 g5 m7 o4"));
	EQ(mode_of("d"), 0755);
	umask(077); /* does not count there */
	close(OK(open("d/f", O_CREAT | O_WRONLY, 0666)));
	EQ(mode_of("d/f"), 0664);
	is("d/f", ACCESS, "u6 U7:1000 g5 m6 o4");
	ERR(getxattr("d/f", DEFAULT, NULL, 0), ENODATA);
	OK(mkdir("d/e", 0777));
	EQ(mode_of("d/e"), 0774);
	is("d/e", ACCESS, "u7 U7:1000 g5 m7 o4");
	is("d/e", DEFAULT, "u7 U7:1000 g5 m7 o4");
	OK(mkfifo("d/e/p", 0606));
	EQ(mode_of("d/e/p"), 0604);
	OK(symlink("f", "d/l"));
	ERR(lgetxattr("d/l", ACCESS, NULL, 0), EOPNOTSUPP);
	OK(set("d", DEFAULT, "u7 g1 o0")); /* without names: it gives only a mode */
	close(OK(open("d/g", O_CREAT | O_WRONLY, 0666)));
	EQ(mode_of("d/g"), 0600);
	ERR(getxattr("d/g", ACCESS, NULL, 0), ENODATA);
	OK(removexattr("d", DEFAULT));
	close(OK(open("d/h", O_CREAT | O_WRONLY, 0666)));
	EQ(mode_of("d/h"), 0600);
	ERR(getxattr("d", DEFAULT, NULL, 0), ENODATA);
}

TEST(listed)
{
	make_file("f", "");
	need("f");
	char names[256];
	ssize_t n = OK(listxattr("f", names, sizeof names));
	int found = 0;
	for (char *p = names; p < names + n; p += strlen(p) + 1)
		found += !strcmp(p, ACCESS);
	EQ(found, 1);
	char small[10];
	ERR(getxattr("f", ACCESS, small, sizeof small), ERANGE);
	EQ(getxattr("f", ACCESS, NULL, 0), 4 + 5 * 8);
}
