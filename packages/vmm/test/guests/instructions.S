# 32
# Instructions that look at descriptors, bounds and frames: SDM vol. 2, each under its name.
start:
  mov dword ptr [0x33000], 10
  mov dword ptr [0x33004], 20
  mov ecx, 10
  attempt bound ecx, [0x33000]
  mov ecx, 21
  attempt bound ecx, [0x33000]
  mov ecx, 9
  attempt bound ecx, [0x33000]
  mov al, 0x7f
  add al, 1
  attempt into
  xor eax, eax
  attempt into
  xor ecx, ecx
  attempt div ecx
  mov eax, 1
  mov edx, 1
  mov ecx, 1
  attempt div ecx
  attempt ud2
  attempt .byte 0xf0, 0x90
  # ENTER: a frame with two pointers of outer levels, and what LEAVE makes of it.
  mov ebp, 0x34008
  mov dword ptr [0x34004], 0x1111
  enter 16, 2
  show esp
  show ebp
  show [ebp]
  show [ebp - 4]
  show [ebp - 8]
  leave
  show ebp
  show esp
  # LAR, LSL, VERR, VERW, by ZF and result.
  .macro zf
  setz al
  movzx eax, al
  out 0x10, eax
  .endm
  mov ecx, 0x18
  lar eax, ecx
  out 0x10, eax
  lsl eax, ecx
  out 0x10, eax
  mov ecx, 0x10
  lsl eax, ecx
  out 0x10, eax
  mov eax, 0x5a5a
  mov ecx, 0x30
  lar eax, ecx
  zf
  mov ecx, 0xff8
  lsl eax, ecx
  zf
  mov ecx, 0x20
  verr cx
  zf
  verw cx
  zf
  mov ecx, 0x28
  verr cx
  zf
  verw cx
  zf
  mov ax, 0x18
  mov cx, 0x1a
  arpl ax, cx
  zf
  mov ah, 0xd7
  sahf
  lahf
  movzx eax, ah
  out 0x10, eax
  # BCD.
  mov eax, 0x9c
  clc
  daa
  movzx eax, al
  out 0x10, eax
  mov eax, 0x020f
  aaa
  and eax, 0xffff
  out 0x10, eax
  mov eax, 63
  aam
  and eax, 0xffff
  out 0x10, eax
  attempt .byte 0xd4, 0
  # Privileged and reserved registers.
  attempt mov eax, cr1
  attempt mov dr4, eax
  out 0x1f, al
.balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
  .quad 0x0040930320000fff  # 0x18 data, 4 KiB
  .quad 0x0040910320000fff  # 0x20 read-only
  .quad 0x00cf99000000ffff  # 0x28 code, execute-only
  .quad 0x00008e0000080000  # 0x30 an interrupt gate
gdtr: .word 0x37
  .long gdt
