// Control transfer, no-operations, undefined instructions, and the flags a program sets. SDM vol.
// 2; the operand size of near branches in 64-bit mode is forced to 64 bits as in its opcode map
// (A.2.1, f64).
//
// JCXZ, JECXZ and JRCXZ are one row: the address size tells. Hint NOPs (0F 18 to 0F 1F) and the
// register forms of 0F 0D never touch memory, hence access `a`. UD0 has a ModRM byte, as recent
// processors decode it.

/** Control transfer, no-operations and flags. */
export const control: string = `
  jcc      r:rel8            70+cc cb     ?cc     f64 end
  jcc      r:relz            0F 80+cc cz  ?cc     f64 end
  jmp      r:rel8            EB cb        -       f64 end
  jmp      r:relz            E9 cz        -       f64 end
  jmp      r:rmv             FF /4        -       f64 end
  jmp      r:far             EA cp        -       not64 end fault
  jmp      r:mfar            FF /5        -       end
  call     r:relz            E8 cz        -       f64 end fault
  call     r:rmv             FF /2        -       f64 end
  call     r:far             9A cp        -       not64 end fault
  call     r:mfar            FF /3        -       end
  ret                        C3           -       f64 end fault
  ret      r:imm16           C2 iw        -       f64 end fault
  retf                       CB           -       v end fault
  retf     r:imm16           CA iw        -       v end fault
  iret                       CF           ?NLM *  v end fault
  loopne   r:rel8            E0 cb        ?Z      f64 end
  loope    r:rel8            E1 cb        ?Z      f64 end
  loop     r:rel8            E2 cb        -       f64 end
  jrcxz    r:rel8            E3 cb        -       f64 end
  int3                       CC           -       end fault
  int      r:imm8            CD ib        -       end fault
  into                       CE           ?O      not64 end fault
  int1                       F1           -       end fault
  bound    r:rv     r:mpair  62 /r        -       not64 fault
  nop                        90           -       rexb0
  pause                      F3 90
  nop      a:rmv             0F 0D /r
  nop      a:rmv             0F 18 /r
  nop      a:rmv             0F 19 /r
  nop      a:rmv             0F 1A /r
  nop      a:rmv             0F 1B /r
  nop      a:rmv             0F 1C /r
  nop      a:rmv             0F 1D /r
  nop      a:rmv             0F 1E /r
  nop      a:rmv             0F 1F /r
  endbr64                    F3 0F 1E FA
  endbr32                    F3 0F 1E FB
  ud0      a:rv     a:rmv    0F FF /r     -       end fault
  ud1      a:rv     a:rmv    0F B9 /r     -       end fault
  ud2                        0F 0B        -       end fault
  clc                        F8           C
  stc                        F9           C
  cmc                        F5           ?C C
  cld                        FC           D
  std                        FD           D
`;
