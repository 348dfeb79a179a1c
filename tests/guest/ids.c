/* credentials(7), setuid(2), setreuid(2), setresuid(2), setfsuid(2), getgroups(2), capget(2): who a process is. */
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void uids(uid_t r, uid_t e, uid_t s)
{
	uid_t a, b, c;
	OK(getresuid(&a, &b, &c));
	EQ(a, r);
	EQ(b, e);
	EQ(c, s);
	EQ(getuid(), r);
	EQ(geteuid(), e);
}

static void gids(gid_t r, gid_t e, gid_t s)
{
	gid_t a, b, c;
	OK(getresgid(&a, &b, &c));
	EQ(a, r);
	EQ(b, e);
	EQ(c, s);
	EQ(getgid(), r);
	EQ(getegid(), e);
}

TEST(setuid_by_root)
{
	NEED_ROOT();
	IN_CHILD {
		OK(setuid(1000));
		uids(1000, 1000, 1000);
		ERR(setuid(0), EPERM);
		ERR(setuid(1001), EPERM);
		OK(setuid(1000));
		ERR(setgid(5), EPERM);
		ERR(setgroups(0, NULL), EPERM);
	}
	IN_CHILD {
		OK(setgid(2000));
		gids(2000, 2000, 2000);
		OK(setuid(1000));
	}
}

TEST(seteuid_and_back)
{
	NEED_ROOT();
	IN_CHILD {
		OK(seteuid(1000));
		uids(0, 1000, 0);
		ERR(seteuid(1001), EPERM);
		ERR(setuid(1001), EPERM);
		OK(setuid(0)); /* the saved one; only the effective id moves */
		uids(0, 0, 0);
		OK(seteuid(1000));
		OK(seteuid(0));
	}
}

TEST(setreuid_rules)
{
	NEED_ROOT();
	IN_CHILD {
		OK(setreuid(1000, 2000));
		uids(1000, 2000, 2000); /* the real id was set, so the saved one follows */
		OK(setreuid(-1, 1000));
		uids(1000, 1000, 2000);
		OK(setreuid(-1, 2000));
		OK(setreuid(2000, 1000));
		ERR(setreuid(3000, -1), EPERM);
		ERR(setreuid(-1, 3000), EPERM);
	}
	IN_CHILD {
		OK(setregid(10, 20));
		gids(10, 20, 20);
		OK(setuid(1));
		ERR(setregid(30, -1), EPERM);
		OK(setregid(20, 10));
	}
}

TEST(setresuid_rules)
{
	NEED_ROOT();
	IN_CHILD {
		OK(setresgid(1, 2, 3));
		gids(1, 2, 3);
		OK(setresuid(1, 2, 3));
		uids(1, 2, 3);
		OK(setresuid(3, 1, 2));
		OK(setresuid(-1, -1, -1));
		uids(3, 1, 2);
		ERR(setresuid(4, -1, -1), EPERM);
		ERR(setresuid(-1, -1, 0), EPERM);
		OK(setresgid(3, 1, 2));
		ERR(setresgid(-1, 9, -1), EPERM);
	}
	uid_t u;
	ERR(syscall(SYS_getresuid, &u, BAD, &u), EFAULT);
	ERR(syscall(SYS_getresgid, BAD, &u, &u), EFAULT);
}

TEST(fsuid)
{
	NEED_ROOT();
	struct stat st;
	IN_CHILD {
		EQ(setfsuid(1234), 0);
		EQ(setfsuid(-1), 1234);
		EQ(setfsuid(0), 1234);
		EQ(setfsgid(77), 0);
		EQ(setfsgid(-1), 77);
		make_file("f", "");
		OK(stat("f", &st));
		EQ(st.st_gid, 77);
		OK(seteuid(99));
		EQ(setfsuid(-1), 99); /* follows the effective id */
	}
}

TEST(groups)
{
	NEED_ROOT();
	IN_CHILD {
		gid_t set[] = {7, 5, 9}, got[10];
		OK(setgroups(3, set));
		EQ(getgroups(0, NULL), 3);
		EQ(getgroups(10, got), 3);
		int sum = 0;
		for (int i = 0; i < 3; i++)
			sum += got[i];
		EQ(sum, 21);
		ERR(getgroups(2, got), EINVAL);
		ERR(getgroups(-1, got), EINVAL);
		ERR(getgroups(10, BAD), EFAULT);
		ERR(setgroups(100000, set), EINVAL);
		ERR(setgroups(3, BAD), EFAULT);
		IN_CHILD {
			EQ(getgroups(0, NULL), 3);
		}
		OK(setgroups(0, NULL));
		EQ(getgroups(10, got), 0);
	}
}

TEST(one_thread_or_all)
{
	NEED_ROOT();
	IN_CHILD {
		OK(syscall(SYS_setresuid, 5, 5, 5)); /* the bare call: this thread */
		EQ(syscall(SYS_getuid), 5);
	}
}

static void *in_thread(void *arg)
{
	OK(setuid(4321)); /* the library's call: all threads */
	return arg;
}

TEST(library_sets_all_threads)
{
	NEED_ROOT();
	IN_CHILD {
		pthread_t th;
		EQ(pthread_create(&th, NULL, in_thread, NULL), 0);
		EQ(pthread_join(th, NULL), 0);
		uids(4321, 4321, 4321);
	}
}

static long caps(struct __user_cap_data_struct d[2])
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	return syscall(SYS_capget, &h, d);
}

TEST(capabilities_follow_ids)
{
	NEED_ROOT();
	struct __user_cap_data_struct d[2];
	OK(caps(d));
	CHECK(d[0].effective != 0 && d[0].permitted != 0);
	IN_CHILD {
		OK(seteuid(1000));
		OK(caps(d));
		EQ(d[0].effective, 0);
		CHECK(d[0].permitted != 0);
		OK(seteuid(0));
		OK(caps(d));
		CHECK(d[0].effective != 0);
		OK(setuid(1000));
		OK(caps(d));
		EQ(d[0].permitted, 0);
	}
	IN_CHILD { /* kept on request */
		OK(prctl(PR_SET_KEEPCAPS, 1));
		EQ(prctl(PR_GET_KEEPCAPS), 1);
		OK(setuid(1000));
		OK(caps(d));
		CHECK(d[0].permitted != 0);
		EQ(d[0].effective, 0);
	}
}

TEST(capset_rules)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2], none[2] = {{0}};
	make_file("f", "");
	IN_CHILD {
		OK(syscall(SYS_capset, &h, none));
		OK(caps(d));
		EQ(d[0].effective | d[0].permitted | d[0].inheritable, 0);
		d[0].permitted = 1;
		ERR(syscall(SYS_capset, &h, d), EPERM);
		if (geteuid() == 0) {
			ERR(setuid(5), EPERM);
			ERR(chown("f", 5, 5), EPERM);
		}
	}
	h.version = 0x123;
	ERR(syscall(SYS_capset, &h, d), EINVAL);
	EQ(h.version, _LINUX_CAPABILITY_VERSION_3); /* the kernel says what it wants */
	h.version = 0x123;
	EQ(syscall(SYS_capget, &h, NULL), 0);
	EQ(h.version, _LINUX_CAPABILITY_VERSION_3);
	h.pid = -1;
	ERR(syscall(SYS_capget, &h, d), EINVAL);
	h.pid = 1 << 22;
	ERR(syscall(SYS_capget, &h, d), ESRCH);
	ERR(syscall(SYS_capget, BAD, d), EFAULT);
}

TEST(kill_needs_a_right)
{
	NEED_ROOT();
	pid_t pid = OK(fork());
	if (pid == 0)
		for (;;)
			pause();
	IN_CHILD {
		OK(setuid(1000));
		ERR(kill(pid, SIGTERM), EPERM);
		ERR(kill(pid, 0), EPERM);
		pid_t own = OK(fork());
		if (own == 0)
			for (;;)
				pause();
		OK(kill(own, SIGTERM));
		REAP_SIGNAL(own, SIGTERM);
	}
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
}
