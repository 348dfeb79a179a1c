/* pkey_alloc(2), pkey_free(2), pkey_mprotect(2): protection keys, where the processor has them. */
#include "check.h"
#include <sys/mman.h>

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif
#define DISABLE_ACCESS 1
#define DISABLE_WRITE 2
#define PAGE 4096L

static char *map(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static long alloc(unsigned long flags, unsigned long rights)
{
	return syscall(SYS_pkey_alloc, flags, rights);
}

static long protect(void *p, size_t size, unsigned long prot, int key)
{
	return syscall(SYS_pkey_mprotect, p, size, prot, key);
}

static void need_pkeys(void)
{
	if (alloc(2, 0) == -1 && errno == ENOSYS)
		SKIP("a kernel without protection keys");
}

TEST(wrong_arguments)
{
	char *p = map();
	need_pkeys();
	ERR(alloc(1, 0), EINVAL);
	ERR(alloc(0, 4), EINVAL);
	ERR(syscall(SYS_pkey_free, 14), EINVAL); /* never allocated */
	ERR(syscall(SYS_pkey_free, -1), EINVAL);
	ERR(syscall(SYS_pkey_free, 99), EINVAL);
	ERR(protect(p, PAGE, PROT_READ, 14), EINVAL);
	ERR(protect(p + 1, PAGE, PROT_READ, -1), EINVAL);
	OK(munmap(p, PAGE));
	ERR(protect(p, PAGE, PROT_READ, -1), ENOMEM);
}

/* With the key -1 it is mprotect(2), on every processor. */
TEST(without_a_key)
{
	char *p = map();
	need_pkeys();
	OK(protect(p, PAGE, PROT_READ, -1));
	pid_t writer = OK(fork());
	if (writer == 0) {
		*(volatile char *)p = 1;
		_exit(0);
	}
	REAP_SIGNAL(writer, SIGSEGV);
	OK(protect(p, PAGE, PROT_READ | PROT_WRITE, -1));
	*p = 1;
}

static void at_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	_exit(info->si_code == SEGV_PKUERR ? 42 : 43);
}

TEST(keys)
{
	char *p = map();
	need_pkeys();
	long key = alloc(0, 0);
	if (key == -1) {
		CHECK(errno == ENOSPC || errno == EINVAL);
		SKIP("a processor without protection keys");
	}
	CHECK(key > 0 && key < 16);
	OK(protect(p, PAGE, PROT_READ | PROT_WRITE, key));
	*p = 1;
	OK(syscall(SYS_pkey_free, key));
	ERR(syscall(SYS_pkey_free, key), EINVAL);
	for (int rights = DISABLE_ACCESS; rights <= DISABLE_WRITE; rights++) {
		key = OK(alloc(0, rights));
		OK(protect(p, PAGE, PROT_READ | PROT_WRITE, key));
		pid_t child = OK(fork());
		if (child == 0) {
			handle_info(SIGSEGV, at_fault, 0);
			if (rights == DISABLE_WRITE)
				(void)*(volatile char *)p;
			*(volatile char *)p = 2;
			_exit(0);
		}
		REAP_EXIT(child, 42);
		OK(protect(p, PAGE, PROT_READ | PROT_WRITE, 0));
		*p = 3;
		OK(syscall(SYS_pkey_free, key));
	}
	int n = 0;
	while (alloc(0, 0) > 0)
		n++;
	EQ(errno, ENOSPC);
	CHECK(n > 0 && n < 16);
}
