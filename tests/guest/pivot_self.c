/* pivot_root(2), "pivot_root(".", ".")": how container engines do it. Afterwards the old root is gone, in a sandbox for all. */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

TEST(onto_itself)
{
	const char *where = getenv("GUEST_IN");
	NEED_ROOT();
	if (!where || strcmp(where, "sandbox")) {
		if (unshare(CLONE_NEWNS) == -1)
			SKIP("needs a mount namespace");
		OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	}
	OK(mkdir("m", 0755));
	if (mount("tmpfs", "m", "tmpfs", 0, NULL) == -1) {
		EQ(errno, EPERM);
		SKIP("needs CAP_SYS_ADMIN");
	}
	make_file("m/mark", "");
	OK(chdir("m"));
	OK(syscall(SYS_pivot_root, ".", "."));
	OK(umount2(".", MNT_DETACH));
	OK(chdir("/"));
	OK(access("/mark", F_OK));
	OK(access("mark", F_OK));
	ERR(access("/proc", F_OK), ENOENT);
	struct stat root, up;
	OK(stat("/", &root));
	OK(stat("..", &up));
	EQ(root.st_ino, up.st_ino);
	EQ(root.st_dev, up.st_dev);
}
