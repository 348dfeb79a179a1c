/* rseq(2): restartable sequences; the area of a thread is its own once the C library leaves it alone. */
#include "check.h"
#include <sched.h>
#include <sys/time.h>

#ifndef SYS_rseq
#define SYS_rseq 334
#endif
#define SIG 0x53053053
#define UNREGISTER 1

struct area {
	uint32_t cpu_id_start, cpu_id;
	uint64_t critical;
	uint32_t flags, more[3];
} __attribute__((aligned(32)));

static struct area area = {.cpu_id = -1};

static long rseq(void *p, unsigned size, int flags, unsigned sig)
{
	return syscall(SYS_rseq, p, size, flags, sig);
}

/* Begin again without a registration of the C library's; returns in the second life only. */
static void begin_again(void)
{
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execl(self_path, self_path, "-t", check_name, NULL);
		check_failed("rseq.c", __LINE__, "execl", "another life", check_errno(errno));
	}
	if (rseq(&area, 32, 0, SIG) == -1) {
		CHECK(errno == ENOSYS || errno == EINVAL);
		SKIP("no rseq, or the C library keeps its own");
	}
}

TEST(registration)
{
	static struct area other;
	begin_again();
	CHECK(area.cpu_id < 8192 && area.cpu_id == area.cpu_id_start);
	ERR(rseq(&area, 32, 0, SIG), EBUSY);
	ERR(rseq(&area, 32, 0, SIG + 1), EPERM);
	ERR(rseq(&other, 32, 0, SIG), EINVAL);
	ERR(rseq(&area, 32, 8, SIG), EINVAL);
	ERR(rseq(&other, 32, UNREGISTER, SIG), EINVAL);
	ERR(rseq(&area, 32, UNREGISTER, SIG + 1), EPERM);
	OK(rseq(&area, 32, UNREGISTER, SIG));
	EQ(area.cpu_id, -1u); /* RSEQ_CPU_ID_UNINITIALIZED */
	ERR(rseq(&area, 32, UNREGISTER, SIG), EINVAL);
	ERR(rseq((char *)&area + 4, 32, 0, SIG), EINVAL);
	ERR(rseq(&area, 8, 0, SIG), EINVAL);
	OK(rseq(&area, 32, 0, SIG));
	IN_CHILD { /* of a copy of the memory it is the registration, too */
		ERR(rseq(&area, 32, 0, SIG), EBUSY);
	}
}

TEST(the_cpu_number)
{
	begin_again();
	for (int i = 0; i < 20; i++) {
		uint32_t before = *(volatile uint32_t *)&area.cpu_id, cpu = 9999;
		OK(syscall(SYS_getcpu, &cpu, NULL, NULL));
		uint32_t after = *(volatile uint32_t *)&area.cpu_id;
		if (before == after)
			EQ(cpu, before);
		sleep_ms(1);
	}
}

static volatile sig_atomic_t rung;

static void ring(int sig)
{
	(void)sig;
	rung = 1;
}

/* A sequence that has no end but its abort: a signal, or another thread's turn, makes it jump. */
static int until_aborted(void)
{
	asm goto(".pushsection rseq_cs, \"aw\"\n"
		 ".balign 32\n"
		 "3:\t.long 0, 0\n"
		 ".quad 1f, 2f - 1f, 4f\n"
		 ".popsection\n"
		 "leaq 3b(%%rip), %%rax\n"
		 "movq %%rax, (%0)\n"
		 "1:\tpause\n"
		 "jmp 1b\n"
		 "2:\tud2\n"
		 ".long 0x53053053\n"
		 "4:\tjmp %l[aborted]\n"
		 :
		 : "r"(&area.critical)
		 : "rax", "memory"
		 : aborted);
	return 0;
aborted:
	return 1;
}

TEST(an_abort)
{
	begin_again();
	handle(SIGALRM, ring, SA_RESTART);
	struct itimerval often = {{0, 5000}, {0, 5000}};
	OK(setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 10 || !rung; i++) {
		EQ(until_aborted(), 1);
		EQ(*(volatile uint64_t *)&area.critical, 0); /* the kernel takes the mark away */
	}
}
