/* mseal(2) of Linux 6.10, map_shadow_stack(2) of 6.6. */
#include "check.h"
#include <sys/mman.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack 453
#endif
#define PAGE 4096L

static char *map(int pages, int prot)
{
	char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static long seal(void *p, size_t size, unsigned long flags)
{
	return syscall(SYS_mseal, p, size, flags);
}

static void need_mseal(void)
{
	if (seal(NULL, 0, 1) == -1 && errno == ENOSYS)
		SKIP("no mseal (Linux 6.10)");
}

TEST(what_a_seal_forbids)
{
	need_mseal();
	char *p = map(4, PROT_READ | PROT_WRITE), *free_place = map(4, PROT_NONE);
	OK(seal(p, 4 * PAGE, 0));
	OK(seal(p, 4 * PAGE, 0));
	ERR(munmap(p, 4 * PAGE), EPERM);
	ERR(munmap(p + PAGE, PAGE), EPERM);
	ERR(mprotect(p, PAGE, PROT_READ), EPERM);
	EQ((long)mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), -1);
	EQ(errno, EPERM);
	EQ((long)mremap(free_place, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p), -1);
	EQ(errno, EPERM);
	EQ((long)mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), -1);
	EQ(errno, EPERM);
	p[0] = 1; /* the memory itself may be used */
	OK(madvise(p, PAGE, MADV_DONTNEED));
	char *r = map(1, PROT_READ);
	OK(seal(r, PAGE, 0));
	ERR(madvise(r, PAGE, MADV_DONTNEED), EPERM); /* nor emptied where it may not be written */
	IN_CHILD {
		ERR(munmap(p, PAGE), EPERM); /* inherited */
	}
}

TEST(errors_of_mseal)
{
	need_mseal();
	char *p = map(3, PROT_READ);
	ERR(seal(p, PAGE, 1), EINVAL);
	ERR(seal(p + 1, PAGE, 0), EINVAL);
	ERR(seal(p, -PAGE, 0), EINVAL);
	OK(seal(p, 0, 0));
	OK(munmap(p + PAGE, PAGE));
	ERR(seal(p, 3 * PAGE, 0), ENOMEM);
	OK(munmap(p, PAGE)); /* nothing was sealed */
}

TEST(a_shadow_stack)
{
	long r = syscall(SYS_map_shadow_stack, 0, PAGE, 0);
	if (r == -1) {
		CHECK(errno == ENOSYS || errno == EOPNOTSUPP);
		SKIP("no shadow stacks of this kernel and processor");
	}
	EQ(r & (PAGE - 1), 0);
	CHECK(*(volatile long *)r == 0); /* readable, and not writable by a store */
	IN_CHILD {
		pid_t writer = OK(fork());
		if (writer == 0) {
			*(volatile long *)r = 1;
			_exit(0);
		}
		REAP_SIGNAL(writer, SIGSEGV);
	}
	ERR(syscall(SYS_map_shadow_stack, 0, PAGE, 2), EINVAL);
	OK(munmap((void *)r, PAGE));
}
