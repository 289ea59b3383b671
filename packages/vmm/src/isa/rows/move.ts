// Data movement: MOV, XCHG, LEA, conditional moves, the stack, far pointers, strings. SDM vol. 2.
//
// One row covers CBW, CWDE and CDQE (98), one CWD, CDQ and CQO (99): the operand size tells. `x` is
// seg:rSI, `y` is ES:rDI, both stepped by DF. A write to a segment register ends a basic block: it
// may change how later addresses are formed, and a write to SS holds interrupts off.

/** Data movement, stack and strings. */
export const move: string = `
  mov     w:rm8     r:r8      88 /r
  mov     w:rmv     r:rv      89 /r
  mov     w:r8      r:rm8     8A /r
  mov     w:rv      r:rmv     8B /r
  mov     w:rv/m16  r:sreg    8C /r
  mov     w:sreg    r:rm16    8E /r              -          end
  mov     w:al      r:moffs8  A0 mo
  mov     w:av      r:moffsv  A1 mo
  mov     w:moffs8  r:al      A2 mo
  mov     w:moffsv  r:av      A3 mo
  mov     w:r8      r:imm8    B0+r ib
  mov     w:rv      r:immv    B8+r iv
  mov     w:rm8     r:imm8    C6 /0 ib
  mov     w:rmv     r:immz    C7 /0 iz
  movsx   w:rv      r:rm8     0F BE /r
  movsx   w:rv      r:rm16    0F BF /r
  movzx   w:rv      r:rm8     0F B6 /r
  movzx   w:rv      r:rm16    0F B7 /r
[only64]
  movsxd  w:r16     r:rm16    o16 63 /r
  movsxd  w:r32     r:rm32    o32 63 /r
  movsxd  w:r64     r:rm32    REX.W 63 /r
[]
  xchg    rw:rm8    rw:r8     86 /r              -          lock
  xchg    rw:rmv    rw:rv     87 /r              -          lock
  xchg    rw:rv     rw:av     90+r
  lea     w:rv      a:m       8D /r
  cmovcc  rw:rv     r:rmv     0F 40+cc /r        ?cc
  setcc   w:rm8               0F 90+cc /r        ?cc
  cbw                         98                 -          v
  cwd                         99                 -          v
  lahf                        9F                 ?CPAZS
  sahf                        9E                 CPAZS
  xlat                        D7                 -          fault
  salc                        D6                 ?C         not64
[movbe]
  movbe   w:rv      r:mv      NFx 0F 38 F0 /r
  movbe   w:mv      r:rv      NFx 0F 38 F1 /r
[sse2]
  movnti  w:m32     r:r32     NP 0F C3 /r
  movnti  w:m64     r:r64     NP REX.W 0F C3 /r

[]
  push    r:rmv               FF /6              -          d64
  push    r:rv                50+r               -          d64
  push    r:immz              68 iz              -          d64
  push    r:imm8s             6A ib              -          d64
  pop     w:rmv               8F /0              -          d64
  pop     w:rv                58+r               -          d64
  push    r:es                06                 -          v not64 fault
  push    r:cs                0E                 -          v not64 fault
  push    r:ss                16                 -          v not64 fault
  push    r:ds                1E                 -          v not64 fault
  push    r:fs                0F A0              -          d64
  push    r:gs                0F A8              -          d64
  pop     w:es                07                 -          v not64 end
  pop     w:ss                17                 -          v not64 end
  pop     w:ds                1F                 -          v not64 end
  pop     w:fs                0F A1              -          d64 end
  pop     w:gs                0F A9              -          d64 end
  pusha                       60                 -          v not64 fault
  popa                        61                 -          v not64 fault
  pushf                       9C                 ?*         d64
  popf                        9D                 ?IL *      d64 end fault
  enter   r:imm16   r:imm8    C8 iw ib           -          d64
  leave                       C9                 -          d64

  les     w:rv      r:mfar    C4 /r              -          not64 end
  lds     w:rv      r:mfar    C5 /r              -          not64 end
  lss     w:rv      r:mfar    0F B2 /r           -          end
  lfs     w:rv      r:mfar    0F B4 /r           -          end
  lgs     w:rv      r:mfar    0F B5 /r           -          end

  movs    w:y8      r:x8      A4                 ?D         rep
  movs    w:yv      r:xv      A5                 ?D         rep
  cmps    r:x8      r:y8      A6                 ?D CPAZSO  repz
  cmps    r:xv      r:yv      A7                 ?D CPAZSO  repz
  stos    w:y8      r:al      AA                 ?D         rep
  stos    w:yv      r:av      AB                 ?D         rep
  lods    w:al      r:x8      AC                 ?D         rep
  lods    w:av      r:xv      AD                 ?D         rep
  scas    r:al      r:y8      AE                 ?D CPAZSO  repz
  scas    r:av      r:yv      AF                 ?D CPAZSO  repz
  ins     w:y8      r:dx      6C                 ?DL        rep
  ins     w:yv      r:dx      6D                 ?DL        rep z
  outs    r:dx      r:x8      6E                 ?DL        rep
  outs    r:dx      r:xv      6F                 ?DL        rep z
`;
