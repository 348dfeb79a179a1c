/* execve(2), the last part: maps a guest's program and its interpreter, finishes the stack, jumps.

   cc -O2 -std=gnu11 -Wall -Wextra -Werror -static-pie -fPIE -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -mgeneral-regs-only -Wl,-T,loader.ld -Wl,-z,norelro -Wl,-z,noexecstack -Wl,--build-id=none -s -o loader loader.c

   The host starts this file in place of the guest's (execveat of a descriptor), so the stack is complete: argc, argv,
   envp, auxv, strings. One call, LOADER_MAGIC, asks the Sentry for a plan; every decision was taken there
   (sentry/loader/plan.py, which documents the records below; the two change together, with PLAN_VERSION).
   What goes wrong here is past the point of no return, so it ends as in Linux: by SIGSEGV (hlt).
   One page stays mapped: this code. The kernel's address of it is the call's fourth argument. */

typedef unsigned long u64;
typedef long s64;
typedef unsigned int u32;
typedef int s32;
typedef unsigned char u8;

/* The filter lets the loader's mmap, close and PR_SET_DUMPABLE through by this mark above the 32 bits that the kernel reads as the number:
   no compiled program passes it, so the same numbers stay free for the guest. */
#define LOADER_FDS (1UL << 32)

enum { LOADER_MAGIC = 1000, PLAN_MAGIC = 0x4e4c5052, PLAN_VERSION = 1 };
enum { PAGE = 4096, BUFFER = 4096, GAP = 16384 };           /* GAP: how far the strings and pointers may move down */
enum { FLAG_FAULT = 1, FLAG_EXEC_STACK = 2 };
enum { PLACE_NONE, PLACE_FIXED, PLACE_WISH, PLACE_ANY };
enum { STEP_MAP, STEP_ZERO };
enum { BASE_ZERO, BASE_PROGRAM, BASE_INTERP, BASE_STRINGS, BASES };

struct step { u32 kind, prot, flags, unused; u64 addr, length, offset; };
struct aux { u32 key, base; u64 value; };                   /* value + base of that kind */
struct image { u32 place; s32 fd; u32 steps_at, steps; u64 base, span, align; };
struct plan {
    u32 magic, version, flags, length;
    u32 auxv_at, auxv, strings_at, strings_length, arguments_at, prefix, entry_base, brk_base;
    u64 entry, brk, start_code, end_code, start_data, end_data;
    char comm[16];
    struct image image[2];
};
struct mm_map {                                             /* prctl(2), PR_SET_MM_MAP */
    u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end;
    u64 *auxv;
    u32 auxv_size, exe_fd;
};

enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_GROWSDOWN = 0x01000000 };
enum { MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_NORESERVE = 0x4000, MAP_FIXED_NOREPLACE = 0x100000 };
enum { NR_close = 3, NR_mmap = 9, NR_mprotect = 10, NR_munmap = 11, NR_prctl = 157 };
enum { PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, PR_SET_MM = 35, PR_SET_MM_MAP = 14 };
enum { AT_NULL = 0, AT_PLATFORM = 15, AT_BASE_PLATFORM = 24, AT_RANDOM = 25, AT_EXECFN = 31 };

extern const u8 __image[] __attribute__((visibility("hidden")));

static inline s64 call6(s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    register u64 r10 __asm__("r10") = d;
    register u64 r8 __asm__("r8") = e;
    register u64 r9 __asm__("r9") = f;
    s64 result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

static inline s64 call3(s64 nr, u64 a, u64 b, u64 c) { return call6(nr, a, b, c, 0, 0, 0); }

static inline _Noreturn void fail(void) { for (;;) __asm__ volatile("hlt"); }

static inline int failed(s64 result) { return (u64)result > -4096UL; }

static void copy(void *to, const void *from, u64 size)     /* forwards: also moves a block down */
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void zero(void *to, u64 size)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(0) : "memory");
}

static __attribute__((noinline)) s64 map(u64 addr, u64 length, u32 prot, u32 flags, s32 fd, u64 offset)
{
    return call6(NR_mmap, addr, length, prot, flags, (flags & MAP_ANONYMOUS) ? -1UL : LOADER_FDS | (u32)fd, offset);
}

/* Finds room: maps the first step over the whole span of the image. Returns what is added to its addresses. */
static u64 place(const struct image *image, const struct step *first)
{
    u32 flags = first->flags & ~(u32)(MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (image->place == PLACE_WISH) {
        u64 wish = image->base + first->addr;
        s64 got = map(wish, image->span, first->prot, flags | MAP_FIXED_NOREPLACE, image->fd, first->offset);
        if ((u64)got == wish)
            return image->base;
        if (!failed(got))                                   /* a kernel without NOREPLACE takes it for a hint */
            call3(NR_munmap, got, image->span, 0);
    }
    if (image->align <= PAGE) {
        s64 got = map(0, image->span, first->prot, flags, image->fd, first->offset);
        if (failed(got))
            fail();
        return got - first->addr;
    }
    u64 room = image->span + image->align - PAGE;
    s64 got = map(0, room, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (failed(got))
        fail();
    u64 base = (got - first->addr + image->align - 1) & -image->align;
    u64 start = base + first->addr, end = start + image->span;
    if (start > (u64)got)
        call3(NR_munmap, got, start - got, 0);
    if (end < got + room)
        call3(NR_munmap, end, got + room - end, 0);
    if (map(start, image->span, first->prot, flags | MAP_FIXED, image->fd, first->offset) != (s64)start)
        fail();
    return base;
}

static u64 load(const struct plan *plan, const struct image *image)
{
    const struct step *step = (const void *)((const u8 *)plan + image->steps_at), *end = step + image->steps;
    u64 base = image->base;
    if (image->place == PLACE_NONE)
        return 0;
    if (image->place != PLACE_FIXED) {
        base = place(image, step);
        u64 end = step->addr + step->length;                /* mapping into a hole is cheaper than over a mapping */
        if (image->span > step->length)
            call3(NR_munmap, base + end, image->span - step->length, 0);
        step++;
    }
    for (; step < end; step++) {
        u64 addr = base + step->addr;
        if (step->kind == STEP_ZERO)
            zero((void *)addr, step->length);
        else if (map(addr, step->length, step->prot, step->flags, image->fd, step->offset) != (s64)addr)
            fail();
    }
    call3(NR_close, LOADER_FDS | (u32)image->fd, 0, 0);
    return base;
}

/* The new stack pointer and entry go to the registers that the caller jumps with. */
struct start { u64 entry, sp; };

__attribute__((used)) struct start loader_main(u64 *sp)
{
    u8 buffer[BUFFER] __attribute__((aligned(16)));
    const struct plan *plan = (const struct plan *)buffer;
    u64 grown = 0;

    *(volatile u8 *)buffer = 0;                             /* the Sentry's write does not grow a stack */
    s64 length = call6(LOADER_MAGIC, (u64)buffer, BUFFER, (u64)sp, (u64)__image, PAGE, PLAN_VERSION);
    if (length > BUFFER) {
        grown = length;
        s64 room = map(0, grown, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (failed(room))
            fail();
        plan = (const struct plan *)room;
        length = call6(LOADER_MAGIC, room, grown, (u64)sp, (u64)__image, PAGE, PLAN_VERSION);
        if (length > (s64)grown)
            fail();
    }
    if (length < (s64)sizeof *plan || plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION || (plan->flags & FLAG_FAULT))
        fail();
    call3(NR_prctl, PR_SET_DUMPABLE, 0, LOADER_FDS);
    call3(NR_prctl, PR_SET_NAME, (u64)plan->comm, 0);

    u64 base[BASES] = { 0 };
    base[BASE_PROGRAM] = load(plan, &plan->image[0]);
    base[BASE_INTERP] = load(plan, &plan->image[1]);

    /* The host's stack, low to high: argc, argv, 0, envp, 0, auxv, platform and random bytes, argument strings,
       environment strings, file name. */
    u64 argc = sp[0], *argv = sp + 1, *envp = argv + argc + 1, *aux = envp;
    while (*aux++) { }
    u64 *auxv = aux, env_end = 0;
    for (; aux[0] != AT_NULL; aux += 2)
        if (aux[0] == AT_EXECFN)
            env_end = aux[1];
    u64 auxv_size = (u64)(aux + 2) - (u64)auxv;
    u64 env_start = envp[0] ? envp[0] : env_end, arg_start = argc ? argv[0] : env_start;

    /* The plan's strings (file name, then the arguments that replace argv[0]) go directly below the arguments that stay;
       everything between the pointers and the strings moves down by `shift`. */
    u64 drop = plan->prefix && argc ? 1 : 0;
    u64 kept = argc > drop ? argv[drop] : env_start;
    u64 strings = kept - plan->strings_length;
    u64 moved_from = (u64)(argv + drop);
    u64 shift = arg_start > strings ? (arg_start - strings + 7) & -8UL : 0;
    u64 new_sp = moved_from - shift - 8 * (1 + (u64)plan->prefix);
    if (new_sp & 15) {
        shift += 8;
        new_sp -= 8;
    }
    if (!env_end || (u64)sp - new_sp > GAP - 1024)
        fail();
    copy((void *)(moved_from - shift), (const void *)moved_from, arg_start - moved_from);
    copy((void *)strings, (const u8 *)plan + plan->strings_at, plan->strings_length);
    base[BASE_STRINGS] = strings;

    u64 *out = (u64 *)new_sp, text = strings + plan->arguments_at;
    *out++ = argc - drop + plan->prefix;
    for (u32 i = 0; i < plan->prefix; i++) {
        *out++ = text;
        while (*(const u8 *)text++) { }
    }

    auxv = (u64 *)((u64)auxv - shift);
    for (aux = auxv; aux[0] != AT_NULL; aux += 2)
        if (aux[0] == AT_RANDOM || aux[0] == AT_PLATFORM || aux[0] == AT_BASE_PLATFORM)
            aux[1] -= shift;
    const struct aux *patch = (const void *)((const u8 *)plan + plan->auxv_at);
    for (u32 i = 0; i < plan->auxv; i++, patch++)
        for (aux = auxv; aux[0] != AT_NULL; aux += 2)
            if (aux[0] == patch->key)
                aux[1] = patch->value + base[patch->base % BASES];

    u64 top = env_end;                                      /* the host's file name: of no concern to the guest */
    while (*(u8 *)top)
        *(u8 *)top++ = 0;

    u64 program = base[BASE_PROGRAM], brk = plan->brk + base[plan->brk_base % BASES];
    struct mm_map mm = {
        plan->start_code + program, plan->end_code + program, plan->start_data + program, plan->end_data + program,
        brk, brk, new_sp, strings + plan->arguments_at, env_start, env_start, env_end, auxv, auxv_size, -1U,
    };
    call6(NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (u64)&mm, sizeof mm, 0, 0);
    if (plan->flags & FLAG_EXEC_STACK) {
        u64 low = new_sp & -(u64)PAGE, high = (top + 8 + PAGE - 1) & -(u64)PAGE;
        call3(NR_mprotect, low, high - low, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN);
    }
    struct start start = { plan->entry + base[plan->entry_base % BASES], new_sp };
    if (grown)
        call3(NR_munmap, (u64)plan, grown, 0);
    return start;
}

/* On entry only rsp means anything; on exit all other registers and the flags are clear, as Linux has it. The entry is
   returned to, so that no register holds it. */
__asm__(
    ".section .text.entry,\"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "    xor %ebp, %ebp\n"
    "    mov %rsp, %rdi\n"
    "    lea -16384(%rsp), %rsp\n"
    "    and $-16, %rsp\n"
    "    call loader_main\n"
    "    lea -8(%rdx), %rsp\n"
    "    mov %rax, (%rsp)\n"
    "    xor %eax, %eax\n"
    "    xor %ebx, %ebx\n"
    "    xor %ecx, %ecx\n"
    "    xor %edx, %edx\n"
    "    xor %esi, %esi\n"
    "    xor %edi, %edi\n"
    "    xor %ebp, %ebp\n"
    "    xor %r8d, %r8d\n"
    "    xor %r9d, %r9d\n"
    "    xor %r10d, %r10d\n"
    "    xor %r11d, %r11d\n"
    "    xor %r12d, %r12d\n"
    "    xor %r13d, %r13d\n"
    "    xor %r14d, %r14d\n"
    "    xor %r15d, %r15d\n"
    "    pushq $0\n"
    "    popfq\n"
    "    ret\n"
    ".previous\n");
