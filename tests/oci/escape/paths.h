/* Names that were planted in a container's /tmp, and what must not lie above its root (path_resolution(7)). The file "secret"
 * lies one directory above the root. */
#pragma once
#include "escape.h"
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const char *const planted[] = {"/tmp/abs", "/tmp/rel", "/tmp/up", "/tmp/proc1", "/tmp/procself", "/tmp/cwd",
	"/tmp/dir/secret", "/tmp/hostroot/secret", "/tmp/prog", "/tmp/dir/program"};
enum { PLANTED = sizeof planted / sizeof *planted };

static struct stat top;

static int is_top(int fd)
{
	struct stat st;
	return !fstat(fd, &st) && st.st_ino == top.st_ino && st.st_dev == top.st_dev;
}

/* `..` upwards from here must end at the container's root. */
static void climb_from(int fd)
{
	for (int i = 0; i < 60; i++) {
		int up = openat(fd, "..", O_PATH | O_DIRECTORY);
		if (up < 0)
			break;
		if (i)
			close(fd);
		fd = up;
	}
	int secret = openat(fd, "secret", O_RDONLY);
	if (secret >= 0)
		check_fd("secret from above", secret);
	BREACH_IF(secret >= 0);
	int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY);
	BREACH_IF(dir >= 0 && !faccessat(dir, "rootfs", F_OK, 0));
	close(dir);
	close(fd);
}

static void look(void)
{
	char path[PATH_MAX];
	NEEDED(stat("/", &top));
	check_path("/../secret");
	check_path("../secret");
	check_path("secret");
	snprintf(path, sizeof path, "%s", given("path"));
	check_path(path);
	BREACH_IF(!access(path, F_OK));
}
