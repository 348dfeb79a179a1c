/* System calls that CPython 3.11 has no name for: unshare(2) setns(2) mount(2) pivot_root(2) open_tree(2) move_mount(2)
 * mount_setattr(2) fsopen(2) openat2(2) prctl(2) capset(2) close_range(2) execveat(2).
 *
 * Wrappers only, no policy: each makes one call and returns its result, or -errno. Numbers come from the kernel's headers
 * and not from the C library's wrappers, which Debian 12's glibc lacks in part.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int answer(long result) { return result < 0 ? -errno : (int)result; }

int host_unshare(int flags) { return answer(syscall(SYS_unshare, flags)); }

int host_setns(int fd, int flags) { return answer(syscall(SYS_setns, fd, flags)); }

int host_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return answer(syscall(SYS_mount, source, target, type, flags, data));
}

int host_umount(const char *target, int flags) { return answer(syscall(SYS_umount2, target, flags)); }

int host_pivot_root(const char *new_root, const char *put_old) { return answer(syscall(SYS_pivot_root, new_root, put_old)); }

int host_open_tree(int dirfd, const char *path, unsigned int flags) { return answer(syscall(SYS_open_tree, dirfd, path, flags)); }

int host_move_mount(int from_fd, const char *from_path, int to_fd, const char *to_path, unsigned int flags)
{
    return answer(syscall(SYS_move_mount, from_fd, from_path, to_fd, to_path, flags));
}

int host_mount_setattr(int dirfd, const char *path, unsigned int flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
    return answer(syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr));
}

int host_fsopen(const char *type, unsigned int flags) { return answer(syscall(SYS_fsopen, type, flags)); }

int host_fsconfig(int fd, unsigned int command, const char *key, const char *value, int aux)
{
    return answer(syscall(SYS_fsconfig, fd, command, key, value, aux));
}

int host_fsmount(int fd, unsigned int flags, unsigned int attributes) { return answer(syscall(SYS_fsmount, fd, flags, attributes)); }

int host_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return answer(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
}

int host_prctl(int option, unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
    return answer(syscall(SYS_prctl, option, a2, a3, a4, a5));
}

int host_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
    };
    return answer(syscall(SYS_capset, &header, data));
}

int host_capget(uint64_t sets[3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    long result = syscall(SYS_capget, &header, data);
    if (result < 0)
        return -errno;
    sets[0] = data[0].effective | (uint64_t)data[1].effective << 32;
    sets[1] = data[0].permitted | (uint64_t)data[1].permitted << 32;
    sets[2] = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

int host_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
    return answer(syscall(SYS_close_range, first, last, flags));
}

int host_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    return answer(syscall(SYS_execveat, fd, path, argv, envp, flags));
}
