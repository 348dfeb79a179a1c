/* semget(2), semop(2), semtimedop(2), semctl(2). */
#include "check.h"
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

static int fresh(int n)
{
	return OK(semget(IPC_PRIVATE, n, 0600));
}

static void gone(int id)
{
	OK(semctl(id, 0, IPC_RMID));
}

TEST(get)
{
	key_t key = 0x5e000000 + getpid();
	ERR(semget(key, 1, 0600), ENOENT);
	ERR(semget(key, 0, IPC_CREAT | 0600), EINVAL);
	ERR(semget(key, -1, IPC_CREAT | 0600), EINVAL);
	ERR(semget(key, 32001, IPC_CREAT | 0600), EINVAL);
	int id = OK(semget(key, 3, IPC_CREAT | 0640));
	EQ(semget(key, 3, 0600), id);
	EQ(semget(key, 0, 0), id);
	ERR(semget(key, 4, 0600), EINVAL);
	ERR(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	struct semid_ds ds;
	OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	EQ(ds.sem_nsems, 3);
	EQ(ds.sem_perm.mode, 0640);
	EQ(ds.sem_perm.__key, key);
	EQ(ds.sem_perm.uid, geteuid());
	EQ(ds.sem_perm.cgid, getegid());
	EQ(ds.sem_otime, 0);
	CHECK(ds.sem_ctime >= time(NULL) - 5);
	gone(id);
	ERR(semctl(id, 0, GETVAL), EINVAL);
	ERR(semget(key, 1, 0), ENOENT);
	ERR(semctl(-1, 0, IPC_RMID), EINVAL);
	int other = fresh(1);
	CHECK(other != id);
	gone(other);
}

TEST(values)
{
	int id = fresh(4);
	unsigned short v[4];
	OK(semctl(id, 0, GETALL, (union semun){.array = v}));
	EQ(v[0] | v[1] | v[2] | v[3], 0);
	OK(semctl(id, 2, SETVAL, (union semun){.val = 7}));
	EQ(semctl(id, 2, GETVAL), 7);
	EQ(semctl(id, 2, GETPID), getpid());
	EQ(semctl(id, 1, GETVAL), 0);
	unsigned short w[4] = {1, 2, 3, 32767};
	OK(semctl(id, 0, SETALL, (union semun){.array = w}));
	EQ(semctl(id, 3, GETVAL), 32767);
	OK(semctl(id, 0, GETALL, (union semun){.array = v}));
	EQ(memcmp(v, w, sizeof v), 0);
	ERR(semctl(id, 4, GETVAL), EINVAL);
	ERR(semctl(id, -1, SETVAL, (union semun){.val = 1}), EINVAL);
	ERR(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
	ERR(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
	w[1] = 40000;
	ERR(semctl(id, 0, SETALL, (union semun){.array = w}), ERANGE);
	EQ(semctl(id, 1, GETVAL), 2);
	ERR(semctl(id, 0, GETALL, (union semun){.array = BAD}), EFAULT);
	ERR(semctl(id, 0, IPC_STAT, (union semun){.buf = BAD}), EFAULT);
	ERR(semctl(id, 0, 99), EINVAL);
	EQ(semctl(id, 0, GETNCNT), 0);
	EQ(semctl(id, 0, GETZCNT), 0);
	gone(id);
}

TEST(operations)
{
	int id = fresh(2);
	struct sembuf up[] = {{0, 3, 0}, {1, 1, 0}};
	EQ(semop(id, up, 2), 0);
	EQ(semctl(id, 0, GETVAL), 3);
	struct semid_ds ds;
	OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	CHECK(ds.sem_otime >= time(NULL) - 5);
	/* all or nothing */
	struct sembuf two[] = {{0, -1, IPC_NOWAIT}, {1, -2, IPC_NOWAIT}};
	ERR(semop(id, two, 2), EAGAIN);
	EQ(semctl(id, 0, GETVAL), 3);
	EQ(semctl(id, 1, GETVAL), 1);
	/* operations on one semaphore see those before them */
	struct sembuf seq[] = {{1, -1, 0}, {1, 0, IPC_NOWAIT}, {1, 5, 0}};
	OK(semop(id, seq, 3));
	EQ(semctl(id, 1, GETVAL), 5);
	struct sembuf zero = {1, 0, IPC_NOWAIT};
	ERR(semop(id, &zero, 1), EAGAIN);
	struct sembuf much = {0, 32767, 0};
	ERR(semop(id, &much, 1), ERANGE);
	struct sembuf far = {2, 1, 0};
	ERR(semop(id, &far, 1), EFBIG);
	ERR(semop(id, up, 0), EINVAL);
	ERR(semop(id, BAD, 1), EFAULT);
	ERR(semop(id + 12345 * 32768, up, 1), EINVAL);
	ERR(semop(-1, up, 1), EINVAL);
	static struct sembuf many[501];
	ERR(semop(id, many, 501), E2BIG);
	gone(id);
}

static int waiters(int id, int cmd)
{
	return semctl(id, 0, cmd);
}

static void until(int id, int cmd, int n)
{
	for (int i = 0; i < 5000 && waiters(id, cmd) != n; i++)
		sleep_ms(1);
	EQ(waiters(id, cmd), n);
}

TEST(waits)
{
	int id = fresh(1);
	pid_t a = OK(fork());
	if (!a) {
		struct sembuf down = {0, -2, 0};
		OK(semop(id, &down, 1));
		_exit(0);
	}
	until(id, GETNCNT, 1);
	struct sembuf up = {0, 1, 0};
	OK(semop(id, &up, 1));
	sleep_ms(20);
	EQ(waiters(id, GETNCNT), 1);
	OK(semop(id, &up, 1));
	REAP_OK(a);
	EQ(semctl(id, 0, GETVAL), 0);
	EQ(semctl(id, 0, GETPID), a);
	/* for zero */
	OK(semctl(id, 0, SETVAL, (union semun){.val = 1}));
	pid_t b = OK(fork());
	if (!b) {
		struct sembuf zero = {0, 0, 0};
		OK(semop(id, &zero, 1));
		_exit(0);
	}
	until(id, GETZCNT, 1);
	EQ(waiters(id, GETNCNT), 0);
	struct sembuf down = {0, -1, 0};
	OK(semop(id, &down, 1));
	REAP_OK(b);
	/* SETVAL wakes too */
	pid_t c = OK(fork());
	if (!c) {
		OK(semop(id, &down, 1));
		_exit(0);
	}
	until(id, GETNCNT, 1);
	OK(semctl(id, 0, SETVAL, (union semun){.val = 5}));
	REAP_OK(c);
	EQ(semctl(id, 0, GETVAL), 4);
	gone(id);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(ends_of_a_wait)
{
	int id = fresh(1);
	struct sembuf down = {0, -1, 0};
	struct timespec ts = {0, 50000000};
	int64_t from = now_ns();
	ERR(semtimedop(id, &down, 1, &ts), EAGAIN);
	CHECK(now_ns() - from >= 50000000);
	ts.tv_nsec = 1000000000;
	ERR(semtimedop(id, &down, 1, &ts), EINVAL);
	ts.tv_nsec = 0, ts.tv_sec = 0;
	ERR(semtimedop(id, &down, 1, &ts), EAGAIN);
	struct sembuf up = {0, 1, 0};
	OK(semtimedop(id, &up, 1, NULL));
	OK(semtimedop(id, &down, 1, &ts));
	ERR(semtimedop(id, &down, 1, BAD), EFAULT);
	for (int restart = 0; restart < 2; restart++) {
		handle(SIGALRM, nothing, restart ? SA_RESTART : 0);
		alarm(1);
		ERR(semop(id, &down, 1), EINTR);
	}
	EQ(semctl(id, 0, GETNCNT), 0);
	pid_t pid = OK(fork());
	if (!pid) {
		ERR(semop(id, &down, 1), EIDRM);
		_exit(0);
	}
	until(id, GETNCNT, 1);
	gone(id);
	REAP_OK(pid);
	/* one that is killed does not count */
	id = fresh(1);
	pid = OK(fork());
	if (!pid) {
		semop(id, &down, 1);
		_exit(1);
	}
	until(id, GETNCNT, 1);
	OK(kill(pid, SIGKILL));
	REAP_SIGNAL(pid, SIGKILL);
	until(id, GETNCNT, 0);
	gone(id);
}

TEST(undo)
{
	int id = fresh(2);
	OK(semctl(id, 0, SETVAL, (union semun){.val = 5}));
	IN_CHILD
	{
		struct sembuf ops[] = {{0, -3, SEM_UNDO}, {1, 2, SEM_UNDO}};
		OK(semop(id, ops, 2));
		EQ(semctl(id, 0, GETVAL), 2);
		IN_CHILD
		{
			struct sembuf one = {0, -1, 0};
			OK(semop(id, &one, 1)); /* a fork owes nothing */
		}
		EQ(semctl(id, 0, GETVAL), 1);
	}
	EQ(semctl(id, 0, GETVAL), 4);
	EQ(semctl(id, 1, GETVAL), 0);
	/* SETVAL makes it forgotten */
	IN_CHILD
	{
		struct sembuf ops[] = {{0, 1, SEM_UNDO}};
		OK(semop(id, ops, 1));
		OK(semctl(id, 0, SETVAL, (union semun){.val = 9}));
	}
	EQ(semctl(id, 0, GETVAL), 9);
	/* what is given back wakes; a killed one gives back too */
	OK(semctl(id, 0, SETVAL, (union semun){.val = 1}));
	pid_t holder = OK(fork());
	if (!holder) {
		struct sembuf down = {0, -1, SEM_UNDO};
		OK(semop(id, &down, 1));
		pause();
	}
	for (int i = 0; i < 5000 && semctl(id, 0, GETVAL); i++)
		sleep_ms(1);
	pid_t waiter = OK(fork());
	if (!waiter) {
		struct sembuf down = {0, -1, SEM_UNDO};
		OK(semop(id, &down, 1));
		_exit(0);
	}
	until(id, GETNCNT, 1);
	OK(kill(holder, SIGKILL));
	REAP_SIGNAL(holder, SIGKILL);
	REAP_OK(waiter);
	EQ(semctl(id, 0, GETVAL), 1);
	/* never below zero */
	IN_CHILD
	{
		struct sembuf up = {0, 4, SEM_UNDO}, down = {0, -5, 0};
		OK(semop(id, &up, 1));
		OK(semop(id, &down, 1));
	}
	EQ(semctl(id, 0, GETVAL), 0);
	gone(id);
}

static void *thread_down(void *arg)
{
	struct sembuf down = {0, -1, SEM_UNDO};
	OK(semop(*(int *)arg, &down, 1));
	return NULL;
}

TEST(undo_of_threads)
{
	int id = fresh(1);
	OK(semctl(id, 0, SETVAL, (union semun){.val = 1}));
	IN_CHILD
	{
		pthread_t th;
		EQ(pthread_create(&th, NULL, thread_down, &id), 0);
		EQ(pthread_join(th, NULL), 0);
		sleep_ms(20);
		EQ(semctl(id, 0, GETVAL), 0); /* the process owes it, not the thread */
	}
	EQ(semctl(id, 0, GETVAL), 1);
	gone(id);
}

TEST(rights)
{
	NEED_ROOT();
	int id = OK(semget(IPC_PRIVATE, 1, 0604));
	struct sembuf up = {0, 1, 0}, zero = {0, 0, 0};
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		EQ(semctl(id, 0, GETVAL), 0);
		OK(semop(id, &zero, 1));
		ERR(semop(id, &up, 1), EACCES);
		ERR(semctl(id, 0, SETVAL, (union semun){.val = 1}), EACCES);
		ERR(semctl(id, 0, IPC_RMID), EPERM);
		struct semid_ds ds;
		OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
		ERR(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}), EPERM);
	}
	struct semid_ds ds;
	OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
	ds.sem_perm.uid = 12345;
	ds.sem_perm.mode = 0600;
	OK(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}));
	IN_CHILD
	{
		OK(setgid(54321));
		OK(setuid(54321));
		ERR(semctl(id, 0, GETVAL), EACCES);
		ERR(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}), EACCES);
	}
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		OK(semop(id, &up, 1));
		gone(id);
	}
	ERR(semctl(id, 0, GETVAL), EINVAL);
}

TEST(information)
{
	int id = fresh(3);
	struct seminfo info;
	memset(&info, 0, sizeof info);
	int top = OK(semctl(0, 0, SEM_INFO, (union semun){.info = &info}));
	CHECK(info.semusz >= 1);
	CHECK(info.semaem >= 3);
	EQ(info.semvmx, 32767);
	OK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}));
	EQ(info.semmsl, 32000);
	EQ(info.semopm, 500);
	int found = 0;
	struct semid_ds ds;
	for (int i = 0; i <= top; i++)
		found += semctl(i, 0, SEM_STAT, (union semun){.buf = &ds}) == id;
	EQ(found, 1);
	FILE *f = fopen("/proc/sysvipc/sem", "r");
	CHECK(f);
	char line[256];
	CHECK(fgets(line, sizeof line, f));
	found = 0;
	while (fgets(line, sizeof line, f)) {
		long key;
		int sid, mode, n;
		EQ(sscanf(line, "%ld %d %o %d", &key, &sid, &mode, &n), 4);
		if (sid == id) {
			found = 1;
			EQ(mode, 0600);
			EQ(n, 3);
		}
	}
	fclose(f);
	EQ(found, 1);
	gone(id);
}
