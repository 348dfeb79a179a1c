/* msgget(2), msgsnd(2), msgrcv(2), msgctl(2). */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>

struct text {
	long type;
	char data[8200];
};

static int fresh(void)
{
	return OK(msgget(IPC_PRIVATE, 0600));
}

static void gone(int id)
{
	OK(msgctl(id, IPC_RMID, NULL));
}

static void put(int id, long type, const char *text)
{
	struct text m = {.type = type};
	strcpy(m.data, text);
	EQ(msgsnd(id, &m, strlen(text), 0), 0);
}

static void take(int id, long type, int flags, long got, const char *text)
{
	struct text m;
	memset(&m, 0, sizeof m);
	EQ(msgrcv(id, &m, sizeof m.data, type, flags | IPC_NOWAIT), (long)strlen(text));
	EQ(m.type, got);
	STR(m.data, text);
}

TEST(get)
{
	key_t key = 0x3e000000 + getpid();
	ERR(msgget(key, 0600), ENOENT);
	int id = OK(msgget(key, IPC_CREAT | 0620));
	EQ(msgget(key, 0), id);
	ERR(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
	struct msqid_ds ds;
	OK(msgctl(id, IPC_STAT, &ds));
	EQ(ds.msg_perm.mode, 0620);
	EQ(ds.msg_perm.__key, key);
	EQ(ds.msg_qnum, 0);
	EQ(ds.msg_qbytes, 16384);
	EQ(ds.msg_lspid, 0);
	EQ(ds.msg_stime, 0);
	gone(id);
	ERR(msgctl(id, IPC_STAT, &ds), EINVAL);
	ERR(msgget(key, 0), ENOENT);
}

TEST(order)
{
	int id = fresh();
	put(id, 3, "three");
	put(id, 1, "one");
	put(id, 2, "two");
	put(id, 1, "uno");
	struct msqid_ds ds;
	OK(msgctl(id, IPC_STAT, &ds));
	EQ(ds.msg_qnum, 4);
	EQ(ds.__msg_cbytes, 14);
	EQ(ds.msg_lspid, getpid());
	take(id, 2, 0, 2, "two");
	take(id, -2, 0, 1, "one");
	take(id, 3, MSG_EXCEPT, 1, "uno");
	struct text m;
	ERR(msgrcv(id, &m, 100, -2, IPC_NOWAIT), ENOMSG);
	ERR(msgrcv(id, &m, 100, 3, IPC_NOWAIT | MSG_EXCEPT), ENOMSG);
	take(id, 0, 0, 3, "three");
	ERR(msgrcv(id, &m, 100, 0, IPC_NOWAIT), ENOMSG);
	OK(msgctl(id, IPC_STAT, &ds));
	EQ(ds.msg_lrpid, getpid());
	EQ(ds.msg_qnum, 0);
	CHECK(ds.msg_rtime >= time(NULL) - 5);
	gone(id);
}

TEST(lengths)
{
	int id = fresh();
	static struct text m = {.type = 1};
	ERR(msgsnd(id, &m, 8193, 0), EINVAL);
	m.type = 0;
	ERR(msgsnd(id, &m, 1, 0), EINVAL);
	m.type = -1;
	ERR(msgsnd(id, &m, 1, 0), EINVAL);
	m.type = 1;
	ERR(msgsnd(id, BAD, 1, 0), EFAULT);
	ERR(msgsnd(-1, &m, 1, 0), EINVAL);
	OK(msgsnd(id, &m, 0, 0));
	EQ(msgrcv(id, &m, 0, 0, 0), 0);
	put(id, 1, "longer");
	ERR(msgrcv(id, &m, 3, 0, 0), E2BIG);
	ERR(msgrcv(id, &m, -1, 0, 0), EINVAL);
	ERR(msgrcv(id, BAD, 100, 0, 0), EFAULT);
	gone(id);
	id = fresh();
	put(id, 1, "longer");
	memset(m.data, 'x', 10);
	EQ(msgrcv(id, &m, 3, 0, MSG_NOERROR), 3);
	EQ(memcmp(m.data, "lonxx", 5), 0);
	ERR(msgrcv(id, &m, 100, 0, IPC_NOWAIT), ENOMSG);
	/* as many bytes as msg_qbytes */
	OK(msgsnd(id, &m, 8192, IPC_NOWAIT));
	OK(msgsnd(id, &m, 8192, IPC_NOWAIT));
	ERR(msgsnd(id, &m, 1, IPC_NOWAIT), EAGAIN);
	OK(msgsnd(id, &m, 0, IPC_NOWAIT));
	EQ(msgrcv(id, &m, 8192, 0, 0), 8192);
	OK(msgsnd(id, &m, 1, IPC_NOWAIT));
	gone(id);
}

static void asleep(pid_t pid)
{
	sleep_ms(30);
	for (int i = 0; i < 5000 && state_of(pid) != 'S'; i++)
		sleep_ms(1);
}

TEST(waits)
{
	int id = fresh();
	pid_t pid = OK(fork());
	if (!pid) {
		struct text m;
		EQ(msgrcv(id, &m, 100, 7, 0), 5);
		_exit(0);
	}
	asleep(pid);
	put(id, 6, "other");
	put(id, 7, "seven");
	REAP_OK(pid);
	take(id, 0, 0, 6, "other");
	static struct text m = {.type = 1};
	OK(msgsnd(id, &m, 8192, 0));
	OK(msgsnd(id, &m, 8192, 0));
	pid = OK(fork());
	if (!pid) {
		OK(msgsnd(id, &m, 100, 0));
		_exit(0);
	}
	asleep(pid);
	EQ(msgrcv(id, &m, 8192, 0, 0), 8192);
	REAP_OK(pid);
	EQ(msgrcv(id, &m, 8192, 0, 0), 8192);
	EQ(msgrcv(id, &m, 8192, 0, 0), 100);
	pid = OK(fork());
	if (!pid) {
		ERR(msgrcv(id, &m, 100, 0, 0), EIDRM);
		_exit(0);
	}
	asleep(pid);
	gone(id);
	REAP_OK(pid);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(interrupted)
{
	int id = fresh();
	struct text m;
	for (int restart = 0; restart < 2; restart++) {
		handle(SIGALRM, nothing, restart ? SA_RESTART : 0);
		alarm(1);
		ERR(msgrcv(id, &m, 100, 0, 0), EINTR);
	}
	gone(id);
}

TEST(rights)
{
	NEED_ROOT();
	int id = OK(msgget(IPC_PRIVATE, 0602));
	struct msqid_ds ds;
	OK(msgctl(id, IPC_STAT, &ds));
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		put(id, 1, "x");
		struct text m;
		ERR(msgrcv(id, &m, 100, 0, IPC_NOWAIT), EACCES);
		ERR(msgctl(id, IPC_STAT, &ds), EACCES);
		ERR(msgctl(id, IPC_SET, &ds), EPERM);
		ERR(msgctl(id, IPC_RMID, NULL), EPERM);
	}
	ds.msg_perm.uid = 12345;
	ds.msg_qbytes = 100;
	OK(msgctl(id, IPC_SET, &ds));
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		OK(msgctl(id, IPC_STAT, &ds));
		EQ(ds.msg_qbytes, 100);
		ds.msg_qbytes = 20000; /* above the limit */
		ERR(msgctl(id, IPC_SET, &ds), EPERM);
		gone(id);
	}
	ERR(msgctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(information)
{
	int id = fresh();
	put(id, 1, "hello");
	struct msginfo info;
	int top = OK(msgctl(0, MSG_INFO, (struct msqid_ds *)&info));
	CHECK(info.msgpool >= 1);
	CHECK(info.msgtql >= 5);
	OK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info));
	EQ(info.msgmax, 8192);
	EQ(info.msgmnb, 16384);
	struct msqid_ds ds;
	int found = 0;
	for (int i = 0; i <= top; i++)
		found += msgctl(i, MSG_STAT, &ds) == id;
	EQ(found, 1);
	FILE *f = fopen("/proc/sysvipc/msg", "r");
	CHECK(f);
	char line[256];
	CHECK(fgets(line, sizeof line, f));
	found = 0;
	while (fgets(line, sizeof line, f)) {
		long key;
		int mid, mode, bytes, count;
		EQ(sscanf(line, "%ld %d %o %d %d", &key, &mid, &mode, &bytes, &count), 5);
		if (mid == id) {
			found = 1;
			EQ(bytes, 5);
			EQ(count, 1);
		}
	}
	fclose(f);
	EQ(found, 1);
	gone(id);
}
