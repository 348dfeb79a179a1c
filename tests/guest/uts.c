/* sethostname(2), setdomainname(2): names of the system, in a namespace of our own; a sandbox has one of its own. */
#include "check.h"
#include <sched.h>
#include <sys/utsname.h>

static void alone(void)
{
	const char *where = getenv("GUEST_IN");
	NEED_ROOT();
	if (where && !strcmp(where, "sandbox"))
		return;
	if (unshare(CLONE_NEWUTS) == -1)
		SKIP("needs a UTS namespace");
}

static struct utsname names(void)
{
	struct utsname u;
	OK(uname(&u));
	return u;
}

static void set_and_read(long nr, const char *(*read)(void))
{
	char long_name[80], before[70];
	snprintf(before, sizeof before, "%s", read());
	OK(syscall(nr, "one.example.org-and-more", 15));
	STR(read(), "one.example.org");
	IN_CHILD {
		STR(read(), "one.example.org");
		OK(syscall(nr, "of the child", 12)); /* of the namespace, not of the process */
	}
	STR(read(), "of the child");
	OK(syscall(nr, "", 0));
	STR(read(), "");
	memset(long_name, 'x', sizeof long_name);
	OK(syscall(nr, long_name, 64));
	EQ(strlen(read()), 64);
	ERR(syscall(nr, long_name, 65), EINVAL);
	ERR(syscall(nr, long_name, -1), EINVAL);
	ERR(syscall(nr, BAD, 3), EFAULT);
	EQ(strlen(read()), 64);
	OK(syscall(nr, before, strlen(before)));
	STR(read(), before);
	IN_CHILD {
		OK(setuid(1000));
		ERR(syscall(nr, "x", 1), EPERM);
		ERR(syscall(nr, "x", -1), EPERM);
	}
}

static char kept[70];

static const char *host(void)
{
	return strcpy(kept, names().nodename);
}

static const char *domain(void)
{
	return strcpy(kept, names().domainname);
}

TEST(hostname)
{
	alone();
	set_and_read(SYS_sethostname, host);
}

TEST(domainname)
{
	char buf[70];
	alone();
	set_and_read(SYS_setdomainname, domain);
	OK(setdomainname("lib.example", 11));
	OK(getdomainname(buf, sizeof buf));
	STR(buf, "lib.example");
	CHECK(strcmp(host(), "lib.example"));
}
