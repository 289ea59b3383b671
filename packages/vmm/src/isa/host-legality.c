/*
 * Tells which instructions this processor refuses. Reads lines of hexadecimal bytes, runs each as one
 * instruction in user mode, and prints the signal it raised, 4 (SIGILL) being #UD, or 0.
 *
 * rDI and rSI point at zeroed memory, rBX at the stack; the other registers that matter are zero. Bytes
 * that jump or pop must not be given. Compile with -no-pie (the assembler part uses absolute names).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf resume;
unsigned char *area;
void run(void *code);

/* Keeps what the ABI wants kept, and finds its stack again whatever the instruction did to rSP. */
__asm__(".text\n"
	".globl run\n"
	"run: push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rsp, saved(%rip); mov %rdi, %r15; mov area(%rip), %rdi; mov %rdi, %rsi\n"
	"xor %eax, %eax; xor %ecx, %ecx; xor %edx, %edx; mov %rsp, %rbx; sub $256, %rsp\n"
	"call *%r15\n"
	"mov saved(%rip), %rsp; cld\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret\n"
	".bss\n"
	"saved: .quad 0\n"
	".text\n");

static void
caught(int signal)
{
	siglongjmp(resume, signal);
}

int
main(void)
{
	static unsigned char memory[16384] __attribute__((aligned(4096)));
	static char stack[65536];
	static const int signals[] = { SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGTRAP };
	stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction action = { .sa_handler = caught, .sa_flags = SA_ONSTACK | SA_NODEFER };
	unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char line[256];

	if (code == MAP_FAILED)
		return 1;
	sigaltstack(&other, NULL);
	for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaction(signals[i], &action, NULL);
	area = memory + 8192;
	while (fgets(line, sizeof line, stdin) != NULL) {
		unsigned length = 0, byte;
		while (sscanf(line + 2 * length, "%2x", &byte) == 1)
			code[length++] = byte;
		code[length] = 0xc3;
		memset(memory, 0, sizeof memory);
		int signal = sigsetjmp(resume, 1);
		if (signal == 0)
			run(code);
		printf("%d\n", signal);
	}
	return 0;
}
