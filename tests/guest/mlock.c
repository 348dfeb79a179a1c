/* mlock2(2), mlockall(2), munlockall(2): memory that stays. */
#include "check.h"
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE 4096L
#define PAGES 16
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static char *map(long pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static int resident(char *p, long pages)
{
	unsigned char vec[1024];
	int n = 0;
	OK(mincore(p, pages * PAGE, vec));
	for (long i = 0; i < pages; i++)
		n += vec[i] & 1;
	return n;
}

static long mlock2_raw(void *p, size_t size, unsigned flags)
{
	return syscall(SYS_mlock2, p, size, flags);
}

TEST(at_once_and_on_fault)
{
	char *p = map(PAGES);
	EQ(resident(p, PAGES), 0);
	OK(mlock2_raw(p, PAGES * PAGE, 0));
	EQ(resident(p, PAGES), PAGES);
	OK(munlock(p, PAGES * PAGE));
	char *q = map(PAGES);
	OK(mlock2_raw(q, PAGES * PAGE, MLOCK_ONFAULT));
	EQ(resident(q, PAGES), 0);
	q[3 * PAGE] = 1;
	CHECK(resident(q, PAGES) >= 1);
	OK(mlock2_raw(q + 100, 1, 0)); /* rounded to the page */
	CHECK(resident(q, 1) == 1);
	OK(mlock2_raw(q, 0, 0));
	/* what is locked cannot be dropped, what was unlocked can */
	ERR(madvise(q, PAGES * PAGE, MADV_DONTNEED), EINVAL);
	OK(munlock(q, PAGES * PAGE));
	OK(madvise(q, PAGES * PAGE, MADV_DONTNEED));
	EQ(resident(q, PAGES), 0);
}

TEST(errors_of_mlock2)
{
	char *p = map(3);
	ERR(mlock2_raw(p, PAGE, 2), EINVAL);
	ERR(mlock2_raw(p, PAGE, 0x80000001), EINVAL);
	EQ(mlock2_raw(p, -PAGE, 0), -1); /* over the limit, or round the end of memory */
	CHECK(errno == EINVAL || errno == ENOMEM);
	OK(munmap(p + PAGE, PAGE));
	ERR(mlock2_raw(p, 3 * PAGE, 0), ENOMEM);
}

/* The whole of a process and what it maps later; the limit is put aside by whoever may. */
TEST(all_that_is_and_will_be)
{
	struct rlimit r;
	OK(getrlimit(RLIMIT_MEMLOCK, &r));
	ERR(mlockall(0), EINVAL);
	ERR(mlockall(8), EINVAL);
	ERR(mlockall(MCL_ONFAULT), EINVAL);
	char *before = map(PAGES);
	if (mlockall(MCL_CURRENT) == -1) {
		EQ(errno, ENOMEM);
		SKIP("the limit is lower than this program is big");
	}
	EQ(resident(before, PAGES), PAGES);
	char *later = map(PAGES);
	EQ(resident(later, PAGES), 0);
	OK(mlockall(MCL_FUTURE));
	char *future = map(PAGES);
	EQ(resident(future, PAGES), PAGES);
	IN_CHILD { /* locks are not inherited */
		char *own = map(PAGES);
		EQ(resident(own, PAGES), 0);
		OK(madvise(before, PAGES * PAGE, MADV_DONTNEED));
	}
	OK(munlockall());
	OK(munlockall());
	EQ(resident(map(PAGES), PAGES), 0);
	OK(madvise(before, PAGES * PAGE, MADV_DONTNEED));
	OK(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
	EQ(resident(map(PAGES), PAGES), 0);
	ERR(madvise(before, PAGES * PAGE, MADV_DONTNEED), EINVAL);
}

TEST(the_limit)
{
	IN_CHILD {
		char *p = map(PAGES);
		OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){4 * PAGE, 4 * PAGE}));
		if (geteuid() == 0)
			OK(setuid(1000));
		OK(mlock2_raw(p, 4 * PAGE, 0));
		ERR(mlock2_raw(p + 4 * PAGE, PAGE, 0), ENOMEM);
		OK(mlock2_raw(p, PAGE, 0)); /* locked already: counted once */
		ERR(mlockall(MCL_CURRENT), ENOMEM);
		OK(munlock(p, 4 * PAGE));
		OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 4 * PAGE}));
		ERR(mlock2_raw(p, PAGE, 0), EPERM);
		ERR(mlockall(MCL_CURRENT), EPERM);
		OK(munlockall());
	}
}

/* CAP_IPC_LOCK knows no limit; a root without it (of a container, or of a sandbox) is told so. */
TEST(root_is_above_the_limit)
{
	NEED_ROOT();
	IN_CHILD {
		char *p = map(PAGES);
		OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){PAGE, PAGE}));
		if (mlock2_raw(p, PAGES * PAGE, 0) == -1) {
			EQ(errno, ENOMEM);
			ERR(mlockall(MCL_CURRENT), ENOMEM);
			SKIP("no CAP_IPC_LOCK of the host's");
		}
		OK(mlockall(MCL_CURRENT));
	}
}
