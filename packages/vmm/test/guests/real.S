# 16
# Real-address mode: its limits, IP at the end of the segment, the ways to protected mode and back,
# and segments that keep their limits ("unreal" mode). SDM vol. 3A, 9.9, 20.1; vol. 3A, 6.15.
start:
  attempt mov al, [0xffff]
  attempt mov ax, [0xffff]
  attempt mov eax, [0xfffd]
  attempt mov ax, ss:[0xffff]
  attempt aam 0
  attempt mov eax, cr1
  attempt str ax
  mov ebx, 0x10000
  attempt mov al, [ebx]
  # A jump at the end of the segment wraps.
  mov ax, 0x1000
  mov es, ax
  mov word ptr es:[0xfffe], 0x10eb
  mov ax, 0xfffe
  attempt jmp ax
  # A loop with calls, enough of them to be compiled.
  xor ebx, ebx
  mov cx, 1000
1:
  push cx
  call add_up
  pop cx
  loop 1b
  show ebx
  call restore
  # To 16-bit protected mode, and to real mode with DS as it was there: 4 GiB.
  mov dword ptr ds:[0x9000], 0
  lgdt cs:[gdtr - BASE]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 0x10
  mov ds, bx
  and al, 0xfe
  mov cr0, eax
  mov ebx, 0x110000
  mov dword ptr [ebx], 0x12345678
  attempt mov eax, [ebx]
  # A segment register that is loaded in real mode keeps its limit, and has another base.
  mov ax, 0x2000
  mov ds, ax
  mov ebx, 0xf0000
  show [ebx]
  call restore
  # Real, 16-bit protected, 32-bit protected, 16-bit protected, real.
  mov eax, cr0
  or al, 1
  mov cr0, eax
  ljmp 0x18, offset narrow - BASE
narrow:
  mov ax, 0x10
  mov ds, ax
  mov ss, ax
  smsw eax
  and eax, 1
  out 0x10, eax
  .byte 0x66, 0xea
  .long wide
  .word 0x08
.code32
wide:
  mov eax, [0x110000]
  out 0x10, eax
  mov esp, 0x8000
  call deep
  ljmp 0x18, offset narrow_again - BASE
deep:
  mov eax, 0x11111111
  mov ecx, 500
1:
  add eax, ecx
  loop 1b
  out 0x10, eax
  ret
.code16
narrow_again:
  mov ax, 0x20
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  ljmp 0x1000, offset real - BASE
real:
  call restore
  # DS is of 64 KiB again.
  mov ebx, 0x10000
  attempt mov al, [ebx]
  out 0x1f, al
add_up:
  push bp
  mov bp, sp
  movzx eax, word ptr [bp + 4]
  add ebx, eax
  pop bp
  ret
.balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
  .quad 0x00009b010000ffff              # 0x18 16-bit code at the program
  .quad 0x000093000000ffff              # 0x20 data of 64 KiB
gdtr: .word 0x27
  .long gdt
