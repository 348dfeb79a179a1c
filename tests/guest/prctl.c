/* prctl(2), arch_prctl(2), personality(2): attributes of a process. */
#include "check.h"
#include <asm/prctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>

TEST(name)
{
	char buf[17] = {0};
	OK(prctl(PR_SET_NAME, "a name that is too long"));
	OK(prctl(PR_GET_NAME, buf));
	STR(buf, "a name that is ");
	FILE *f = fopen("/proc/self/comm", "r");
	CHECK(f && fgets(buf, sizeof buf, f));
	STR(buf, "a name that is \n");
	ERR(prctl(PR_SET_NAME, BAD), EFAULT);
	ERR(prctl(PR_GET_NAME, BAD), EFAULT);
	OK(prctl(PR_SET_NAME, "x y)z"));
	EQ(state_of(getpid()), 'R');
}

TEST(parent_death_signal)
{
	int p[2], sig = 0;
	char c;
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		pid_t grand = OK(fork());
		if (grand == 0) {
			OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
			OK(prctl(PR_GET_PDEATHSIG, &sig));
			EQ(sig, SIGKILL);
			EQ(write(p[1], "r", 1), 1);
			for (;;)
				pause();
		}
		EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	REAP_OK(pid);
	OK(close(p[1]));
	EQ(read(p[0], &c, 1), 0); /* the grandchild is gone */
	ERR(prctl(PR_SET_PDEATHSIG, 99), EINVAL);
	IN_CHILD {
		OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
		IN_CHILD {
			OK(prctl(PR_GET_PDEATHSIG, &sig));
			EQ(sig, 0);
		}
	}
}

TEST(dumpable)
{
	int d = prctl(PR_GET_DUMPABLE);
	CHECK(d == 0 || d == 1 || d == 2);
	OK(prctl(PR_SET_DUMPABLE, 0));
	EQ(prctl(PR_GET_DUMPABLE), 0);
	OK(prctl(PR_SET_DUMPABLE, 1));
	EQ(prctl(PR_GET_DUMPABLE), 1);
	ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	ERR(prctl(PR_SET_DUMPABLE, 7), EINVAL);
}

TEST(bounding_set)
{
	EQ(prctl(PR_CAPBSET_READ, 63), -1);
	EQ(errno, EINVAL);
	int had = OK(prctl(PR_CAPBSET_READ, 0));
	if (geteuid() == 0 && had) {
		IN_CHILD {
			OK(prctl(PR_CAPBSET_DROP, 0));
			EQ(prctl(PR_CAPBSET_READ, 0), 0);
			EQ(prctl(PR_CAPBSET_READ, 1), 1);
		}
	}
	IN_CHILD {
		if (geteuid() == 0)
			OK(setuid(1000));
		ERR(prctl(PR_CAPBSET_DROP, 1), EPERM);
	}
}

TEST(misc)
{
	ERR(prctl(9999, 0, 0, 0, 0), EINVAL);
	EQ(prctl(PR_GET_TIMERSLACK) > 0, 1);
	OK(prctl(PR_SET_TIMERSLACK, 60000));
	EQ(prctl(PR_GET_TIMERSLACK), 60000);
	int sub = 5;
	OK(prctl(PR_GET_CHILD_SUBREAPER, &sub));
	EQ(sub, 0);
	CHECK(prctl(PR_GET_SECCOMP) >= 0 || errno == EINVAL);
	unsigned long fs = 0;
	OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	CHECK(fs != 0);
	ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
	ERR(syscall(SYS_arch_prctl, ARCH_GET_FS, BAD), EFAULT);
}

TEST(personality_value)
{
	int p = personality(0xffffffff);
	CHECK(p >= 0);
	IN_CHILD {
		EQ(personality(p | ADDR_NO_RANDOMIZE), p);
		EQ(personality(0xffffffff), p | ADDR_NO_RANDOMIZE);
	}
	EQ(personality(0xffffffff), p);
}
