/* execve(2), credentials(7), capabilities(7): set-id programs, no_new_privs, and what ids survive exec. */
#include "check.h"
#include <grp.h>
#include <sys/prctl.h>

#define USER 12345
#define OTHER 23456

/* A copy of the target program with this owner and mode. */
static void program(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	char from[PATH_MAX + 32], buf[65536];
	snprintf(from, sizeof from, "%s/target-static", self_dir);
	int in = OK(open(from, O_RDONLY)), out = OK(open(name, O_WRONLY | O_CREAT, 0755));
	for (ssize_t n; (n = OK(read(in, buf, sizeof buf))) > 0;)
		EQ(write(out, buf, n), n);
	OK(close(in));
	OK(close(out));
	OK(chown(name, uid, gid));
	OK(chmod(name, mode));
}

static int creds(const char *prog, uid_t as, int ruid, int euid, int secure, int nnp)
{
	char a[16], b[16], c[16];
	pid_t pid = OK(fork());
	if (pid == 0) {
		snprintf(a, 16, "%d", ruid);
		snprintf(b, 16, "%d", euid);
		snprintf(c, 16, "%d", secure);
		OK(setgroups(0, NULL));
		OK(setgid(as));
		OK(setuid(as));
		if (nnp)
			OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		execl(prog, "t", "creds", a, b, c, NULL);
		_exit(126);
	}
	return reap(pid);
}

TEST(plain_program_keeps_ids)
{
	NEED_ROOT();
	program("plain", 0, 0, 0755);
	EQ(creds("./plain", 0, 0, 0, 0, 0), 0);
	EQ(creds("./plain", USER, USER, USER, 0, 0), 0);
}

TEST(set_user_id)
{
	NEED_ROOT();
	program("suid", OTHER, OTHER, 04755);
	int works = creds("./suid", USER, USER, OTHER, 1, 0);
	if (works == 1 << 8 && creds("./suid", USER, USER, USER, 0, 0) == 0)
		SKIP("mounted nosuid, or new privileges are off");
	EQ(works, 0);
	EQ(creds("./suid", OTHER, OTHER, OTHER, 0, 0), 0); /* no change: not secure */
	EQ(creds("./suid", USER, USER, USER, 0, 1), 0);	   /* no_new_privs */
	program("script", OTHER, OTHER, 04755);
	int fd = OK(open("script", O_WRONLY | O_TRUNC));
	char line[PATH_MAX + 64];
	OK(mkdir("bin", 0755));
	program("bin/p", 0, 0, 0755);
	int n = snprintf(line, sizeof line, "#!bin/p\n");
	EQ(write(fd, line, n), n);
	OK(close(fd));
	OK(chmod("script", 04755));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(setuid(USER));
		execl("./script", "x", NULL);
		_exit(126);
	}
	REAP_EXIT(pid, 3); /* it ran: a script's set-id bits are not honoured */
}

TEST(no_new_privs_rules)
{
	IN_CHILD {
		OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
		ERR(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
		IN_CHILD {
			EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
		}
	}
}
