/*
 * The smallest kernel that can run a vector: it loads all state from a block of memory, enters user
 * mode by IRETQ, catches whatever exception comes, stores all state into the same block, and halts.
 * The monitor reads the block at the halt, writes the next vector's into it, and lets the processor
 * go on. SDM vol. 3A, 6.14 (exceptions in 64-bit mode). Assembled and linked at test time.
 *
 * The block, by offset from its start (guest-image.ts has the same layout): TSS.RSP0 is the end of
 * the part that the processor and the stubs push, so nothing is ever copied.
 */
/* Where guest-image.ts has it. */
.set BLOCK, 0xffff800000028000
.set BLOCK_FX, 0x000        /* 832 bytes, XSAVE64 in the standard format */
.set BLOCK_GPR, 0x380       /* RAX RCX RDX RBX RBP RSI RDI R8-R15 */
.set BLOCK_VECTOR, 0x3f8    /* vector, error code, RIP, CS, RFLAGS, RSP, SS: up to 0x430 */
.set BLOCK_CS, 0x410
.set BLOCK_RSP, 0x420
.set BLOCK_SELECTORS, 0x440 /* DS ES FS GS, 16 bits each */
.set BLOCK_FS_BASE, 0x450
.set BLOCK_GS_BASE, 0x458
.set BLOCK_CR2, 0x460

.set COMPONENTS, 7          /* x87, SSE, AVX */

.set ALIASES, 0xffff800100000000 /* 4 GiB in which every 64 KiB are those of the block */

.set CS_64, 0x33
.set VECTORS, 32
.set STUB_BYTES, 16

    .code64
    .text
    .globl _start
_start:
    /* Exception stubs, STUB_BYTES apart: those without an error code push a zero in its place. */
    .set vector, 0
    .rept VECTORS
    .balign STUB_BYTES
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17
    push $0
    .endif
    push $vector
    jmp store
    .set vector, vector + 1
    .endr

    /* Right behind the stubs: the monitor starts here. */
    .balign STUB_BYTES
load:
    movabs $BLOCK, %rsp
    mov $COMPONENTS, %eax
    xor %edx, %edx
    xrstor64 BLOCK_FX(%rsp)
    mov BLOCK_SELECTORS(%rsp), %ds
    mov BLOCK_SELECTORS+2(%rsp), %es
    mov BLOCK_SELECTORS+4(%rsp), %fs
    mov BLOCK_SELECTORS+6(%rsp), %gs
    /* The other modes have the bases that loading the selectors gave. */
    cmpw $CS_64, BLOCK_CS(%rsp)
    jne 1f
    mov BLOCK_FS_BASE(%rsp), %rax
    wrfsbase %rax
    mov BLOCK_GS_BASE(%rsp), %rax
    wrgsbase %rax
1:
    /*
     * IRET to a 16-bit stack segment loads SP only: bits 16 to 31 of ESP stay those of the kernel's
     * (SDM vol. 3A, 6.14.3 has no word of it; Linux calls the cure espfix). So the block is mapped
     * once for each value they can have, and IRET is made on the stack where they are right.
     */
    mov BLOCK_RSP(%rsp), %eax
    and $0xffff0000, %eax
    movzwl %sp, %ecx
    or %ecx, %eax
    movabs $ALIASES, %rcx
    add %rcx, %rax
    lea BLOCK_GPR(%rax), %rsp
    pop %rax
    pop %rcx
    pop %rdx
    pop %rbx
    pop %rbp
    pop %rsi
    pop %rdi
    pop %r8
    pop %r9
    pop %r10
    pop %r11
    pop %r12
    pop %r13
    pop %r14
    pop %r15
    lea 16(%rsp), %rsp
    iretq

    .balign STUB_BYTES
store:
    push %r15
    push %r14
    push %r13
    push %r12
    push %r11
    push %r10
    push %r9
    push %r8
    push %rdi
    push %rsi
    push %rbp
    push %rbx
    push %rdx
    push %rcx
    push %rax
    lea -BLOCK_GPR(%rsp), %rsp
    mov $COMPONENTS, %eax
    xor %edx, %edx
    xsave64 BLOCK_FX(%rsp)
    mov %ds, BLOCK_SELECTORS(%rsp)
    mov %es, BLOCK_SELECTORS+2(%rsp)
    mov %fs, BLOCK_SELECTORS+4(%rsp)
    mov %gs, BLOCK_SELECTORS+6(%rsp)
    rdfsbase %rax
    mov %rax, BLOCK_FS_BASE(%rsp)
    rdgsbase %rax
    mov %rax, BLOCK_GS_BASE(%rsp)
    mov %cr2, %rax
    mov %rax, BLOCK_CR2(%rsp)
    hlt
    jmp load
