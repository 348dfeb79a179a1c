/* execve(2), getauxval(3): prints what a program sees of its start, without addresses, so that two ways of starting
   the same program can be compared by their output. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;
extern char _end[], _start[], __executable_start[];
static char bss[3 * 4096 + 123];
static char data[5000] = "data";

static size_t slurp(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY);
    size_t done = 0;
    ssize_t n;
    while (fd >= 0 && (n = read(fd, buffer + done, size - done)) > 0)
        done += n;
    close(fd);
    return done;
}

static void show_strings(const char *name, const char *bytes, size_t size)
{
    printf("%s", name);
    for (size_t i = 0; i < size; i++)
        if (i == 0 || !bytes[i - 1])
            printf(" [%.60s]", bytes + i);
    printf("\n");
}

static void show_file(const char *path)
{
    static char buffer[1 << 20];
    size_t size = slurp(path, buffer, sizeof buffer - 1);
    buffer[size] = 0;
    show_strings(path, buffer, size);
}

/* The permissions of the mapping that holds an address. */
static const char *permissions(const void *addr, char *name)
{
    static char perms[8];
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    strcpy(perms, "none");
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char p[8], rest[256] = "";
        sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &end, p, rest);
        if ((unsigned long)addr >= start && (unsigned long)addr < end) {
            strcpy(perms, p);
            if (name)
                strcpy(name, rest);
        }
    }
    fclose(maps);
    return perms;
}

int main(int argc, char **argv)
{
    char name[256] = "";
    printf("argc %d\n", argc);
    for (int i = 0; i < argc; i++)
        printf("argv[%d] %.60s (%zu)\n", i, argv[i], strlen(argv[i]));
    printf("argv ends %d\n", argv[argc] == NULL);
    for (int i = 1; i < argc; i++)
        if (argv[i] != argv[i - 1] + strlen(argv[i - 1]) + 1)
            printf("argv[%d] not contiguous\n", i);
    if (environ[0] && environ[0] != argv[argc - 1] + strlen(argv[argc - 1]) + 1)
        printf("environ does not follow argv\n");
    for (char **e = environ; *e; e++)
        printf("env %s\n", *e);
    show_file("/proc/self/cmdline");
    show_file("/proc/self/environ");
    show_file("/proc/self/comm");

    unsigned long kinds[] = { AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_CLKTCK, AT_FLAGS, AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE, AT_HWCAP, AT_HWCAP2, 51, 27, 28 };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        printf("aux %lu = %#lx\n", kinds[i], getauxval(kinds[i]));
    char **e = environ;
    while (*e++) { }
    Elf64_auxv_t *aux = (void *)e;
    size_t count = 0;
    printf("aux keys");
    while (aux[count++].a_type != AT_NULL)
        printf(" %lu", aux[count - 1].a_type);
    static char saved[8192];
    size_t size = slurp("/proc/self/auxv", saved, sizeof saved);
    printf("\nsaved auxv same %d\n", size >= count * 16 && !memcmp(saved, aux, count * 16 - 8));
    printf("execfn %s\n", (char *)getauxval(AT_EXECFN));
    printf("platform %s\n", (char *)getauxval(AT_PLATFORM));
    const unsigned char *random = (void *)getauxval(AT_RANDOM);
    int sum = 0;
    for (int i = 0; i < 16; i++)
        sum |= random[i];
    printf("random %d\n", sum != 0);
    printf("vdso %d\n", !memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
    printf("entry %d\n", getauxval(AT_ENTRY) == (unsigned long)_start);
    Elf64_Ehdr *header = (void *)__executable_start;
    printf("phdr %d\n", getauxval(AT_PHDR) == (unsigned long)header + header->e_phoff);
    unsigned long base = getauxval(AT_BASE);
    printf("base %s\n", !base ? "none" : !memcmp((void *)base, "\177ELF", 4) ? "interpreter" : "wrong");

    for (size_t i = 0; i < sizeof bss; i++)
        if (bss[i])
            printf("bss[%zu] is not zero\n", i);
    for (char *p = _end; (unsigned long)p % 4096; p++)
        if (*p) {
            printf("the page behind the bss is not zero\n");
            break;
        }
    printf("data %s\n", data);
    char *first = sbrk(0);
    printf("brk aligned %d above %d near %d\n", (unsigned long)first % 4096 == 0, first >= _end,
           (unsigned long)(first - _end) < (2UL << 30));
    char *got = sbrk(1 << 20);
    if (got != first)
        printf("sbrk gave something else\n");
    memset(got, 1, 1 << 20);
    printf("heap %s", permissions(got, name));
    printf(" %s, shrinks %d\n", name, sbrk(-(1 << 20)) == first + (1 << 20));
    void *p = malloc(100);
    free(p);

    static char stat[4096];
    slurp("/proc/self/stat", stat, sizeof stat);
    unsigned long start_code, end_code, start_stack;
    sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %*u %*d %*u %lu %lu %lu", &start_code, &end_code, &start_stack);
    printf("code %d stack %d\n", start_code <= (unsigned long)main && (unsigned long)main < end_code, start_stack == (unsigned long)(argv - 1));
    printf("sp aligned %d\n", (unsigned long)(argv - 1) % 16 == 0);
    printf("stack %s", permissions(&p, name));
    printf(" %s top %s\n", name, permissions((void *)getauxval(AT_EXECFN), NULL));
    printf("text %s", permissions((void *)main, NULL));
    printf(" data %s", permissions(data, NULL));
    printf(" bss %s\n", permissions(bss + sizeof bss - 1, NULL));
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("fd %d\n", fd);
    printf("tid %d\n", gettid() == getpid());
    return argc;
}
