/* A program that ends at once, with status 3 and without a library: what fork-exec starts. */

_Noreturn void
_start(void)
{
	__asm__ volatile("syscall" : : "a"(60), "D"(3) : "rcx", "r11", "memory"); /* exit(3) */
	__builtin_unreachable();
}
