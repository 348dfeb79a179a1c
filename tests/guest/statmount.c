/* statmount(2), listmount(2), and STATX_MNT_ID_UNIQUE of statx(2). */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

#ifndef SYS_statmount
#define SYS_statmount 457
#define SYS_listmount 458
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000
#endif

struct request {
	uint32_t size, spare;
	uint64_t id, param, ns;
};

struct answer {
	uint32_t size, mnt_opts;
	uint64_t mask;
	uint32_t major, minor;
	uint64_t magic;
	uint32_t sb_flags, fs_type;
	uint64_t id, parent;
	uint32_t old_id, old_parent;
	uint64_t attr, propagation, peer_group, master, from;
	uint32_t root, point;
	uint64_t ns;
	uint32_t subtype, source;
	uint64_t spare[48];
	char text[4096];
};

static uint64_t unique_of(const char *path, uint64_t *old)
{
	struct statx a, b;
	OK(statx(AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, &a));
	CHECK(a.stx_mask & STATX_MNT_ID_UNIQUE);
	if (old) {
		OK(statx(AT_FDCWD, path, 0, 0x1000, &b));
		*old = *(uint64_t *)((char *)&b + 0x90);
	}
	return *(uint64_t *)((char *)&a + 0x90); /* stx_mnt_id */
}

static void need(void)
{
	struct request r = {24, 0, 0, 0, 0};
	errno = 0;
	syscall(SYS_statmount, &r, NULL, 0, 0);
	if (errno == ENOSYS)
		SKIP("a kernel without it");
}

TEST(one_mount)
{
	need();
	uint64_t old;
	struct request r = {24, 0, unique_of("/proc", &old), 0x2 | 0x1 | 0x10 | 0x20 | 0x8, 0};
	static struct answer a;
	OK(syscall(SYS_statmount, &r, &a, sizeof a, 0));
	EQ(a.mask & 0x3b, 0x3b);
	EQ(a.magic, 0x9fa0);
	EQ(a.id, r.id);
	EQ(a.old_id, old);
	STR(a.text + a.point, "/proc");
	STR(a.text + a.fs_type, "proc");
	STR(a.text + a.root, "/");
	struct stat st;
	OK(stat("/proc", &st));
	EQ(a.major << 8 | a.minor, st.st_dev);
	EQ(a.parent, unique_of("/", NULL));
	CHECK(a.size > 512 && a.size < 4096);
	ERR(syscall(SYS_statmount, &r, &a, 513, 0), EOVERFLOW);
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 8), EINVAL);
	ERR(syscall(SYS_statmount, BAD, &a, sizeof a, 0), EFAULT);
	r.size = 20;
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 0), EINVAL);
	r.size = 5000;
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 0), E2BIG);
	r.size = 24, r.id = 5;
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 0), EINVAL);
	r.id = 1ULL << 60;
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 0), ENOENT);
}

TEST(list)
{
	need();
	struct request r = {24, 0, -1ULL, 0, 0};
	static uint64_t ids[4096], back[4096], some[4096];
	long n = OK(syscall(SYS_listmount, &r, ids, 4096, 0));
	uint64_t proc = unique_of("/proc", NULL);
	int found = 0;
	for (long i = 0; i < n; i++) {
		CHECK(!i || ids[i] > ids[i - 1]);
		found += ids[i] == proc;
	}
	EQ(found, 1);
	EQ(syscall(SYS_listmount, &r, back, 4096, 1), n);
	for (long i = 0; i < n; i++)
		EQ(back[n - 1 - i], ids[i]);
	CHECK(n >= 2);
	EQ(syscall(SYS_listmount, &r, some, 1, 0), 1);
	EQ(some[0], ids[0]);
	r.param = ids[0];
	EQ(syscall(SYS_listmount, &r, some, 4096, 0), n - 1);
	EQ(some[0], ids[1]);
	r.param = 0, r.id = 1ULL << 60;
	ERR(syscall(SYS_listmount, &r, ids, 4096, 0), ENOENT);
	r.id = -1ULL;
	ERR(syscall(SYS_listmount, &r, ids, 2000000, 0), EOVERFLOW);
	ERR(syscall(SYS_listmount, &r, ids, 4096, 4), EINVAL);
	ERR(syscall(SYS_listmount, &r, BAD, 4096, 0), EFAULT);
}

/* On the host mounts shall be nobody else's; a sandbox has one namespace, which is its own. */
static void alone(void)
{
	NEED_ROOT();
	if (unshare(CLONE_NEWNS) == 0)
		OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

TEST(own_mounts)
{
	alone();
	need();
	OK(mkdir("m", 0755));
	if (mount("tmpfs", "m", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k"))
		SKIP("may not mount");
	uint64_t id = unique_of("m", NULL);
	OK(mkdir("m/inner", 0755));
	OK(mount("what", "m/inner", "tmpfs", MS_RDONLY, NULL));
	uint64_t inner = unique_of("m/inner", NULL), ids[10];
	struct request r = {24, 0, id, 0, 0};
	EQ(syscall(SYS_listmount, &r, ids, 10, 0), 1);
	EQ(ids[0], inner);
	static struct answer a;
	r.param = 0x2 | 0x80 | 0x200;
	OK(syscall(SYS_statmount, &r, &a, sizeof a, 0));
	EQ(a.attr & 0xf, 2 | 4 | 8);
	EQ(a.propagation & (1 << 18 | 1 << 20), a.propagation & (1 << 20) ? 1 << 20 : 1 << 18);
	CHECK(strstr(a.text + a.mnt_opts, "size=64k"));
	r.id = inner;
	OK(syscall(SYS_statmount, &r, &a, sizeof a, 0));
	EQ(a.attr & 1, 1);
	EQ(a.parent, id);
	if (a.mask & 0x200)
		STR(a.text + a.source, "what");
	OK(umount("m/inner"));
	ERR(syscall(SYS_statmount, &r, &a, sizeof a, 0), ENOENT);
	OK(umount("m"));
}
