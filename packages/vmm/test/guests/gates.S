# 32
# Gates and privilege: call gates of 32 and 16 bits with parameters, conforming code, interrupt and
# trap gates from ring 3, IOPL and the I/O bitmap. SDM vol. 3A, 5.8, 6.12; vol. 1, 19.5.
.set TSS, 0x35000
start:
  mov dword ptr [TSS + 4], 0x3e000      # ESP0
  mov word ptr [TSS + 8], 0x10
  mov word ptr [TSS + 0x66], 0x68
  mov dword ptr [TSS + 0x68], 0xfff0ffff  # ports 0x10 to 0x13
  mov dword ptr [TSS + 0x74], 0xffffffff
  mov ax, 0x18
  ltr ax
  # INT 0x12 by an interrupt gate of ring 3, INT 0x11 by a trap gate, INT 0x10 of ring 0.
  mov eax, offset service
  mov [IDT + 0x90], ax
  mov [IDT + 0x88], ax
  mov word ptr [IDT + 0x94], 0xee00
  mov word ptr [IDT + 0x8c], 0xef00
  mov dword ptr fs:[RESUME], offset 9f
  push 0x2b
  push 0x3d000
  push 0x0202
  push 0x23
  push offset outer
  iretd
outer:
  mov ax, 0x2b
  mov ds, ax
  mov es, ax
  show esp
  mov eax, cs
  out 0x10, eax
  push 0x1111
  push 0x2222
  call 0x33:0                           # 32 bits, two parameters
  show esp
  mov ax, ss
  movzx eax, ax
  out 0x10, eax
  # IP must do to come back: by a segment with the base of the program.
  ljmp 0x63, offset 1f - 0x10000
1:
  pushw 0x4444
  call 0x3b:0                           # 16 bits, one
  movzx eax, sp
  out 0x10, eax
  mov esp, 0x3d000
  ljmp 0x23, offset 1f
1:
  lcall 0x43, offset conforming
  int 0x12
  int 0x11
  # Each fault goes on behind itself, by the handler, in ring 0: the way back is the same.
  int 0x10
9:
  call flatten
  mov dword ptr fs:[RESUME], offset 9f
  call back
  call 0x4b:0                           # a gate of ring 0
9:
  call flatten
  mov dword ptr fs:[RESUME], offset 9f
  call back
  cli
9:
  call flatten
  mov dword ptr fs:[RESUME], offset 9f
  call back
  mov eax, 1
  out 0x10, eax
  in al, 0x60
9:
  call flatten
  mov dword ptr fs:[RESUME], offset 9f
  call back
  hlt
9:
  call flatten
  mov dword ptr fs:[RESUME], offset 9f
  call back
  mov ax, 0x10
  mov ds, ax
9:
  call flatten
  # From ring 0: a gate, and a return, to an outer ring.
  attempt call 0x53:0
  out 0x1f, al
# Goes on behind its call in ring 3.
back:
  pop edx
  push 0x2b
  push 0x3d000
  push 0x0202
  push 0x23
  push edx
  iretd
# What a gate of 32 bits leads to: the frame is EIP, CS, two parameters, ESP, SS.
inner:
  show esp
  show [esp + 8]
  show [esp + 12]
  show [esp + 16]
  retf 8
.code16
# The same of 16 bits, on a stack of 32 bits.
inner16:
  movzx eax, sp
  out 0x10, eax
  movzx eax, word ptr [esp + 4]
  out 0x10, eax
  movzx eax, word ptr [esp + 6]
  out 0x10, eax
  retf 2
.code32
conforming:
  mov eax, cs
  out 0x10, eax
  retf
service:
  pushfd
  pop eax
  and eax, 0x200
  out 0x10, eax
  show [esp + 4]
  iretd
.balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
  .quad 0x0000890350000087              # 0x18 TSS
  .quad 0x00cffb000000ffff              # 0x20 code, ring 3
  .quad 0x00cff3000000ffff              # 0x28 data, ring 3
  .word inner - 0x10000 + 0, 0x08, 0xec02, 1          # 0x30 call gate, 2 parameters
  .word inner16 - 0x10000, 0x58, 0xe401, 0            # 0x38 call gate of 16 bits
  .quad 0x00cf9f000000ffff              # 0x40 conforming code, ring 0
  .word inner - 0x10000 + 0, 0x08, 0x8c00, 1          # 0x48 call gate of ring 0
  .word outer - 0x10000, 0x23, 0xec00, 1              # 0x50 call gate to ring 3
  .quad 0x00009b010000ffff              # 0x58 16-bit code at the program
  .quad 0x00cffb010000ffff              # 0x60 code at the program, ring 3
gdtr: .word 0x67
  .long gdt
