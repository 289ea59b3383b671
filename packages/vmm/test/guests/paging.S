# 32
# 32-bit paging with 4 MiB pages and WP, then PAE with NX: SDM vol. 3A, 4.3, 4.4, 4.6 to 4.8, 4.10.
start:
  # Directory at 0x50000, table for the second 4 MiB at 0x51000; the first 4 MiB are one page.
  mov edi, 0x50000
  mov ecx, 0x1000
  xor eax, eax
  cld
  rep stosd
  mov dword ptr [0x50000], 0x83
  mov dword ptr [0x50004], 0x51003
  mov dword ptr [0x51000], 0x60003      # 0x400000: writable
  mov dword ptr [0x51004], 0x60001      # 0x401000: the same, read-only
  mov dword ptr [0x51008], 0x60103      # 0x402000: the same, global
  mov dword ptr [0x50008], 0x800083     # 0x800000: 4 MiB, and not there
  or dword ptr [0x50008], 0x200000      # with a reserved bit
  mov eax, 0x90                         # PSE, PGE
  mov cr4, eax
  mov eax, 0x50000
  mov cr3, eax
  mov eax, 0x80000031
  mov cr0, eax
  attempt mov eax, [0x400000]
  show [0x51000]
  attempt mov [0x400000], eax
  show [0x51000]
  show [0x50004]
  attempt mov [0x401000], eax           # WP is clear
  show [0x51004]
  mov eax, 0x80010031
  mov cr0, eax
  attempt mov [0x401000], eax
  attempt mov eax, [0x403000]
  attempt mov eax, [0x403ffe]
  attempt mov eax, [0x402ffe]
  attempt mov eax, [0x800000]
  # A stale translation goes with INVLPG, or with CR3 unless it is global.
  mov dword ptr [0x60000], 0x11111111
  mov dword ptr [0x61000], 0x22222222
  mov eax, [0x402000]
  mov eax, [0x400000]
  mov dword ptr [0x51008], 0x61103
  mov dword ptr [0x51000], 0x61003
  mov eax, cr3
  mov cr3, eax
  show [0x400000]
  show [0x402000]
  invlpg [0x402000]
  show [0x402000]
  mov dword ptr [0x51000], 0x60003
  invlpg [0x400000]
  show [0x400000]
  # PAE: pointers at 0x52000, directory at 0x53000, table for the second 2 MiB at 0x54000.
  mov eax, 0x31
  mov cr0, eax
  mov dword ptr [0x52000], 0x53001
  mov dword ptr [0x53000], 0x83
  mov dword ptr [0x53008], 0x54003
  mov dword ptr [0x54000], 0x60003
  mov dword ptr [0x54008], 0x60003
  mov dword ptr [0x5400c], 0x80000000   # no execution
  mov byte ptr [0x60000], 0xc3          # ret
  mov eax, 0x20
  mov cr4, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x800
  wrmsr
  mov eax, 0x52000
  mov cr3, eax
  mov eax, 0x80010031
  mov cr0, eax
  mov edx, 0x200000
  attempt call edx
  mov edx, 0x201000
  attempt call edx
  attempt mov [0x201001], eax
  show [0x54008]
  # Without NXE the bit is a reserved one.
  mov ecx, 0xc0000080
  rdmsr
  and eax, ~0x800
  wrmsr
  mov eax, cr3
  mov cr3, eax
  attempt mov eax, [0x201000]
  # A reserved bit of a pointer is #GP(0) at the load of CR3.
  mov dword ptr [0x52008], 0x53003
  mov eax, 0x52000
  attempt mov cr3, eax
  out 0x1f, al
.balign 8
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: .word 0x17
  .long gdt
