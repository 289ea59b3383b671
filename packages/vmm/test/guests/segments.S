# 32
# Segment limits, types and the loading of segment registers: SDM vol. 3A, 5.3 to 5.6, 6.15.
start:
  attempt mov eax, [0xfffffffe]
  attempt mov ax, [0xffffffff]
  attempt mov eax, ss:[0xfffffffe]
  # A loop that reads up to the end of a segment of 4 KiB, and how far it came.
  mov ax, 0x18
  mov ds, ax
  mov esi, 0xf00
  mov ecx, 0x180
  attempt call read_on
  show esi
  mov ax, 0x18
  mov ds, ax
  attempt mov eax, [0xffc]
  mov ax, 0x18
  mov ds, ax
  attempt mov [0xffd], eax
  mov ax, 0x18
  mov es, ax
  mov esi, 0x33000
  mov edi, 0xff0
  mov ecx, 8
  cld
  attempt rep movsd
  show edi
  # Expand-down: 32 bits from 0x800 up, 16 bits from 0x800 to 0xffff.
  mov ax, 0x20
  mov ds, ax
  attempt mov al, [0x7ff]
  mov ax, 0x20
  mov ds, ax
  attempt mov al, [0x800]
  mov ax, 0x40
  mov ds, ax
  attempt mov ax, [0xffff]
  mov ax, 0x40
  mov ds, ax
  attempt mov ax, [0xfffe]
  # Types.
  mov ax, 0x28
  mov ds, ax
  attempt mov eax, [0]
  mov ax, 0x28
  mov ds, ax
  attempt mov [0], eax
  attempt mov cs:[0x33000], eax
  mov ax, 0x38
  attempt mov ds, ax
  mov ax, 0x30
  attempt mov ds, ax
  mov ax, 0x48
  attempt mov ds, ax
  mov ax, 0x48
  attempt mov ss, ax
  mov ax, 0x28
  attempt mov ss, ax
  mov ax, 0x13
  attempt mov ss, ax
  mov ax, 0xff8
  attempt mov es, ax
  mov ax, 0x0c
  attempt mov es, ax
  xor eax, eax
  attempt mov ss, ax
  xor eax, eax
  mov ds, ax
  attempt mov eax, [0x33000]
  # A code segment of 64 KiB from the program's start: jumps beyond, and within.
  attempt ljmp 0x50, 0x10000
  attempt ljmp 0x48, 0
  attempt ljmp 0x10, 0
  out 0x1f, al
read_on:
  mov al, [esi]
  inc esi
  dec ecx
  jnz read_on
  ret
.balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
  .quad 0x0040930320000fff  # 0x18 data, 4 KiB at 0x32000
  .quad 0x00409703200007ff  # 0x20 expand-down, 32 bits
  .quad 0x0040910320000fff  # 0x28 read-only
  .quad 0x00cf9b000000ffff  # 0x30 code, readable
  .quad 0x00cf99000000ffff  # 0x38 code, execute-only
  .quad 0x00009703200007ff  # 0x40 expand-down, 16 bits
  .quad 0x00cf13000000ffff  # 0x48 data, not present
  .quad 0x00409b010000ffff  # 0x50 code, 64 KiB at 0x10000
gdtr: .word 0x57
  .long gdt
