/* sysfs(2), ustat(2), lsm_list_modules(2), lsm_get_self_attr(2), lsm_set_self_attr(2), cachestat(2), remap_file_pages(2). */
#include "check.h"
#include <sys/mman.h>

#ifndef SYS_lsm_get_self_attr
#define SYS_lsm_get_self_attr 459
#define SYS_lsm_set_self_attr 460
#define SYS_lsm_list_modules 461
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

static void need(long r)
{
	if (r == -1 && errno == ENOSYS)
		SKIP("a kernel without it");
}

TEST(sysfs)
{
	char name[64], line[64];
	errno = 0;
	long n = syscall(SYS_sysfs, 3);
	need(n);
	CHECK(n > 3);
	int procs = 0;
	for (int i = 0; i < n; i++) {
		OK(syscall(SYS_sysfs, 2, i, name));
		EQ(syscall(SYS_sysfs, 1, name), i);
		procs += !strcmp(name, "proc");
	}
	EQ(procs, 1);
	FILE *f = fopen("/proc/filesystems", "r");
	CHECK(f);
	int lines = 0;
	while (fgets(line, sizeof line, f))
		lines++;
	EQ(lines, n);
	ERR(syscall(SYS_sysfs, 2, n, name), EINVAL);
	ERR(syscall(SYS_sysfs, 1, "nonesuch"), EINVAL);
	ERR(syscall(SYS_sysfs, 1, BAD), EFAULT);
	ERR(syscall(SYS_sysfs, 4), EINVAL);
}

TEST(ustat)
{
	struct {
		int tfree;
		long tinode;
		char name[6], pack[6];
	} u;
	struct stat st;
	OK(stat("/proc", &st));
	memset(&u, 1, sizeof u);
	errno = 0;
	long r = syscall(SYS_ustat, (unsigned)st.st_dev, &u);
	need(r);
	EQ(r, 0);
	EQ(u.tfree, 0);
	EQ(u.name[0], 0);
	ERR(syscall(SYS_ustat, 0x7fffffff, &u), EINVAL);
	ERR(syscall(SYS_ustat, (unsigned)st.st_dev, BAD), EFAULT);
}

TEST(modules)
{
	uint64_t ids[64];
	uint32_t size = sizeof ids;
	errno = 0;
	long n = syscall(SYS_lsm_list_modules, ids, &size, 0);
	need(n);
	CHECK(n >= 1);
	EQ(size, 8 * n);
	int found = 0;
	for (int i = 0; i < n; i++)
		found += ids[i] == 100; /* LSM_ID_CAPABILITY */
	EQ(found, 1);
	size = 4;
	ERR(syscall(SYS_lsm_list_modules, ids, &size, 0), E2BIG);
	EQ(size, 8 * n);
	ERR(syscall(SYS_lsm_list_modules, ids, &size, 1), EINVAL);
	ERR(syscall(SYS_lsm_list_modules, ids, BAD, 0), EFAULT);
	char ctx[256] = "";
	size = sizeof ctx;
	ERR(syscall(SYS_lsm_get_self_attr, 0, ctx, &size, 0), EINVAL);
	ERR(syscall(SYS_lsm_set_self_attr, 100, ctx, 8, 0), EINVAL);
	ERR(syscall(SYS_lsm_set_self_attr, 100, ctx, 32, 1), EINVAL);
	ERR(syscall(SYS_lsm_set_self_attr, 100, ctx, 5000, 0), E2BIG);
	size = sizeof ctx;
	long r = syscall(SYS_lsm_get_self_attr, 100, ctx, &size, 0);
	CHECK(r >= 0 || errno == EOPNOTSUPP);
}

TEST(cachestat)
{
	struct {
		uint64_t off, len;
	} range = {0, 0};
	struct {
		uint64_t cache, dirty, writeback, evicted, recently;
	} c;
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	char page[4096] = "x";
	for (int i = 0; i < 5; i++)
		EQ(write(fd, page, 4096), 4096);
	errno = 0;
	long r = syscall(SYS_cachestat, fd, &range, &c, 0);
	need(r);
	EQ(r, 0);
	EQ(c.cache, 5);
	EQ(c.evicted, 0);
	EQ(lseek(fd, 0, SEEK_CUR), 20480);
	range.off = 4096, range.len = 8192;
	OK(syscall(SYS_cachestat, fd, &range, &c, 0));
	EQ(c.cache, 2);
	range.off = 1 << 20, range.len = 10;
	OK(syscall(SYS_cachestat, fd, &range, &c, 0));
	EQ(c.cache, 0);
	ERR(syscall(SYS_cachestat, fd, &range, &c, 1), EINVAL);
	ERR(syscall(SYS_cachestat, fd, BAD, &c, 0), EFAULT);
	ERR(syscall(SYS_cachestat, fd, &range, BAD, 0), EFAULT);
	ERR(syscall(SYS_cachestat, 99, &range, &c, 0), EBADF);
}

TEST(remapped)
{
	int fd = OK(open("file", O_CREAT | O_RDWR, 0600));
	char page[4096];
	for (int i = 0; i < 4; i++) {
		memset(page, 'a' + i, sizeof page);
		EQ(write(fd, page, 4096), 4096);
	}
	volatile char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != (volatile char *)MAP_FAILED);
	OK(syscall(SYS_remap_file_pages, p, 4096, 0, 3, 0));
	EQ(p[0], 'd');
	EQ(p[4096], 'b');
	p[0] = 'D';
	EQ(p[3 * 4096], 'D');
	char c;
	EQ(pread(fd, &c, 1, 3 * 4096), 1);
	EQ(c, 'D');
	ERR(syscall(SYS_remap_file_pages, p, 4096, PROT_READ, 3, 0), EINVAL);
	char *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ERR(syscall(SYS_remap_file_pages, q, 4096, 0, 0, 0), EINVAL);
}
