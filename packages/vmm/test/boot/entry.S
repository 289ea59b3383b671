/*
 * Where the test kernels begin, in 32-bit code, and the headers by which loaders know them. What the
 * loader left in registers goes to main() before anything changes it.
 */

#if defined MULTIBOOT
	.section .header, "a"
	.balign 4
	.long 0x1badb002, 3, -(0x1badb002 + 3)
#elif defined MULTIBOOT2
	.section .header, "a"
	.balign 8
header:
	.long 0xe85250d6, 0, header_end - header, -(0xe85250d6 + (header_end - header))
	/* Asks for the command line, modules, memory sizes, the map, and the sections. */
	.short 1, 0
	.long 28, 1, 3, 4, 6, 9
	.balign 8
	/* Would take a framebuffer, but needs none; wants modules at pages. */
	.short 5, 1
	.long 20, 80, 25, 0
	.balign 8
	.short 6, 0
	.long 8
	.short 0, 0
	.long 8
header_end:
#elif defined PVH
	.section .note.Xen, "a", @note
	.long 4, 4, 18
	.asciz "Xen"
	.long start
#endif

	.text
	.globl start
start:
	movl %eax, registers
	movl %ebx, registers + 4
	movl %esp, registers + 8
	movl $stack_top, %esp
	pushfl
	popl registers + 12
	movl %cr0, %eax
	movl %eax, registers + 16
	movl %cr4, %eax
	movl %eax, registers + 20
	cld
	call main
1:	cli
	hlt
	jmp 1b

	.bss
	.balign 16
	.globl registers
registers:
	.space 24
	.space 16384
stack_top:
