# psABI, "Process Initialization": exits 0 if every register but rsp is zero, the stack is aligned and the flags are clear.
.globl _start
_start:
    pushfq
    or %rax, %rbx
    or %rcx, %rbx
    or %rdx, %rbx
    or %rsi, %rbx
    or %rdi, %rbx
    or %rbp, %rbx
    or %r8, %rbx
    or %r9, %rbx
    or %r10, %rbx
    or %r11, %rbx
    or %r12, %rbx
    or %r13, %rbx
    or %r14, %rbx
    or %r15, %rbx
    mov $1, %edi
    test %rbx, %rbx
    jne 1f
    mov $2, %edi
    lea 8(%rsp), %rax
    test $15, %al
    jne 1f
    mov $3, %edi
    pop %rax
    test $0x4d5, %eax           # CF PF AF ZF SF DF... all but the interrupt flag and the fixed bit
    jne 1f
    xor %edi, %edi
1:  mov $60, %eax
    syscall
