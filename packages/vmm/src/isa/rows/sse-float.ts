// SSE floating point: SSE, SSE2, SSE3 and SSE4.1 on single and double precision. SDM vol. 2.
//
// A destination xmm/m32 or xmm/m64 is written in its low 32 or 64 bits only; MOVSS and MOVSD from
// memory clear the rest, hence their rows of their own. REX.W of the MOVMSK rows changes nothing.

/** SSE floating-point instructions. */
export const sseFloat: string = `
[sse]
  movups     w:xmm       r:xmm/m128          NP 0F 10 /r        -       unaligned
  movups     w:xmm/m128  r:xmm               NP 0F 11 /r        -       unaligned
  movss      rw:xmm      r:xmm               F3 0F 10 /r
  movss      w:xmm       r:m32               F3 0F 10 /r
  movss      w:xmm/m32   r:xmm               F3 0F 11 /r
  movhlps    rw:xmm      r:xmm               NP 0F 12 /r
  movlps     rw:xmm      r:m64               NP 0F 12 /r
  movlps     w:m64       r:xmm               NP 0F 13 /r
  movlhps    rw:xmm      r:xmm               NP 0F 16 /r
  movhps     rw:xmm      r:m64               NP 0F 16 /r
  movhps     w:m64       r:xmm               NP 0F 17 /r
  movaps     w:xmm       r:xmm/m128          NP 0F 28 /r
  movaps     w:xmm/m128  r:xmm               NP 0F 29 /r
  movntps    w:m128      r:xmm               NP 0F 2B /r
  movmskps   w:r32       r:xmm               NP 0F 50 /r
  unpcklps   rw:xmm      r:xmm/m128          NP 0F 14 /r
  unpckhps   rw:xmm      r:xmm/m128          NP 0F 15 /r
  shufps     rw:xmm      r:xmm/m128  r:imm8  NP 0F C6 /r ib
  andps      rw:xmm      r:xmm/m128          NP 0F 54 /r
  andnps     rw:xmm      r:xmm/m128          NP 0F 55 /r
  orps       rw:xmm      r:xmm/m128          NP 0F 56 /r
  xorps      rw:xmm      r:xmm/m128          NP 0F 57 /r
  addps      rw:xmm      r:xmm/m128          NP 0F 58 /r
  mulps      rw:xmm      r:xmm/m128          NP 0F 59 /r
  subps      rw:xmm      r:xmm/m128          NP 0F 5C /r
  minps      rw:xmm      r:xmm/m128          NP 0F 5D /r
  divps      rw:xmm      r:xmm/m128          NP 0F 5E /r
  maxps      rw:xmm      r:xmm/m128          NP 0F 5F /r
  sqrtps     w:xmm       r:xmm/m128          NP 0F 51 /r
  rsqrtps    w:xmm       r:xmm/m128          NP 0F 52 /r
  rcpps      w:xmm       r:xmm/m128          NP 0F 53 /r
  cmpps      rw:xmm      r:xmm/m128  r:imm8  NP 0F C2 /r ib
  addss      rw:xmm      r:xmm/m32           F3 0F 58 /r
  mulss      rw:xmm      r:xmm/m32           F3 0F 59 /r
  subss      rw:xmm      r:xmm/m32           F3 0F 5C /r
  minss      rw:xmm      r:xmm/m32           F3 0F 5D /r
  divss      rw:xmm      r:xmm/m32           F3 0F 5E /r
  maxss      rw:xmm      r:xmm/m32           F3 0F 5F /r
  sqrtss     rw:xmm      r:xmm/m32           F3 0F 51 /r
  rsqrtss    rw:xmm      r:xmm/m32           F3 0F 52 /r
  rcpss      rw:xmm      r:xmm/m32           F3 0F 53 /r
  cmpss      rw:xmm      r:xmm/m32   r:imm8  F3 0F C2 /r ib
  ucomiss    r:xmm       r:xmm/m32           NP 0F 2E /r        CPAZSO
  comiss     r:xmm       r:xmm/m32           NP 0F 2F /r        CPAZSO
  cvtpi2ps   rw:xmm      r:mm/m64            NP 0F 2A /r
  cvttps2pi  w:mm        r:xmm/m64           NP 0F 2C /r
  cvtps2pi   w:mm        r:xmm/m64           NP 0F 2D /r
  cvtsi2ss   rw:xmm      r:rm32              F3 0F 2A /r
  cvtsi2ss   rw:xmm      r:rm64              F3 REX.W 0F 2A /r
  cvttss2si  w:r32       r:xmm/m32           F3 0F 2C /r
  cvttss2si  w:r64       r:xmm/m32           F3 REX.W 0F 2C /r
  cvtss2si   w:r32       r:xmm/m32           F3 0F 2D /r
  cvtss2si   w:r64       r:xmm/m32           F3 REX.W 0F 2D /r
  ldmxcsr    r:m32                           NP 0F AE /2        -       sse
  stmxcsr    w:m32                           NP 0F AE /3        -       sse

[sse2]
  movupd     w:xmm       r:xmm/m128          66 0F 10 /r        -       unaligned
  movupd     w:xmm/m128  r:xmm               66 0F 11 /r        -       unaligned
  movsd      rw:xmm      r:xmm               F2 0F 10 /r
  movsd      w:xmm       r:m64               F2 0F 10 /r
  movsd      w:xmm/m64   r:xmm               F2 0F 11 /r
  movlpd     rw:xmm      r:m64               66 0F 12 /r
  movlpd     w:m64       r:xmm               66 0F 13 /r
  movhpd     rw:xmm      r:m64               66 0F 16 /r
  movhpd     w:m64       r:xmm               66 0F 17 /r
  movapd     w:xmm       r:xmm/m128          66 0F 28 /r
  movapd     w:xmm/m128  r:xmm               66 0F 29 /r
  movntpd    w:m128      r:xmm               66 0F 2B /r
  movmskpd   w:r32       r:xmm               66 0F 50 /r
  unpcklpd   rw:xmm      r:xmm/m128          66 0F 14 /r
  unpckhpd   rw:xmm      r:xmm/m128          66 0F 15 /r
  shufpd     rw:xmm      r:xmm/m128  r:imm8  66 0F C6 /r ib
  andpd      rw:xmm      r:xmm/m128          66 0F 54 /r
  andnpd     rw:xmm      r:xmm/m128          66 0F 55 /r
  orpd       rw:xmm      r:xmm/m128          66 0F 56 /r
  xorpd      rw:xmm      r:xmm/m128          66 0F 57 /r
  addpd      rw:xmm      r:xmm/m128          66 0F 58 /r
  mulpd      rw:xmm      r:xmm/m128          66 0F 59 /r
  subpd      rw:xmm      r:xmm/m128          66 0F 5C /r
  minpd      rw:xmm      r:xmm/m128          66 0F 5D /r
  divpd      rw:xmm      r:xmm/m128          66 0F 5E /r
  maxpd      rw:xmm      r:xmm/m128          66 0F 5F /r
  sqrtpd     w:xmm       r:xmm/m128          66 0F 51 /r
  cmppd      rw:xmm      r:xmm/m128  r:imm8  66 0F C2 /r ib
  addsd      rw:xmm      r:xmm/m64           F2 0F 58 /r
  mulsd      rw:xmm      r:xmm/m64           F2 0F 59 /r
  subsd      rw:xmm      r:xmm/m64           F2 0F 5C /r
  minsd      rw:xmm      r:xmm/m64           F2 0F 5D /r
  divsd      rw:xmm      r:xmm/m64           F2 0F 5E /r
  maxsd      rw:xmm      r:xmm/m64           F2 0F 5F /r
  sqrtsd     rw:xmm      r:xmm/m64           F2 0F 51 /r
  cmpsd      rw:xmm      r:xmm/m64   r:imm8  F2 0F C2 /r ib
  ucomisd    r:xmm       r:xmm/m64           66 0F 2E /r        CPAZSO
  comisd     r:xmm       r:xmm/m64           66 0F 2F /r        CPAZSO
  cvtpi2pd   w:xmm       r:mm/m64            66 0F 2A /r
  cvttpd2pi  w:mm        r:xmm/m128          66 0F 2C /r
  cvtpd2pi   w:mm        r:xmm/m128          66 0F 2D /r
  cvtsi2sd   rw:xmm      r:rm32              F2 0F 2A /r
  cvtsi2sd   rw:xmm      r:rm64              F2 REX.W 0F 2A /r
  cvttsd2si  w:r32       r:xmm/m64           F2 0F 2C /r
  cvttsd2si  w:r64       r:xmm/m64           F2 REX.W 0F 2C /r
  cvtsd2si   w:r32       r:xmm/m64           F2 0F 2D /r
  cvtsd2si   w:r64       r:xmm/m64           F2 REX.W 0F 2D /r
  cvtps2pd   w:xmm       r:xmm/m64           NP 0F 5A /r
  cvtpd2ps   w:xmm       r:xmm/m128          66 0F 5A /r
  cvtss2sd   rw:xmm      r:xmm/m32           F3 0F 5A /r
  cvtsd2ss   rw:xmm      r:xmm/m64           F2 0F 5A /r
  cvtdq2ps   w:xmm       r:xmm/m128          NP 0F 5B /r
  cvtps2dq   w:xmm       r:xmm/m128          66 0F 5B /r
  cvttps2dq  w:xmm       r:xmm/m128          F3 0F 5B /r
  cvttpd2dq  w:xmm       r:xmm/m128          66 0F E6 /r
  cvtpd2dq   w:xmm       r:xmm/m128          F2 0F E6 /r
  cvtdq2pd   w:xmm       r:xmm/m64           F3 0F E6 /r

[sse3]
  movsldup   w:xmm       r:xmm/m128          F3 0F 12 /r
  movshdup   w:xmm       r:xmm/m128          F3 0F 16 /r
  movddup    w:xmm       r:xmm/m64           F2 0F 12 /r
  haddpd     rw:xmm      r:xmm/m128          66 0F 7C /r
  haddps     rw:xmm      r:xmm/m128          F2 0F 7C /r
  hsubpd     rw:xmm      r:xmm/m128          66 0F 7D /r
  hsubps     rw:xmm      r:xmm/m128          F2 0F 7D /r
  addsubpd   rw:xmm      r:xmm/m128          66 0F D0 /r
  addsubps   rw:xmm      r:xmm/m128          F2 0F D0 /r

[sse4_1]
  blendvps   rw:xmm      r:xmm/m128  r:xmm0  66 0F 38 14 /r
  blendvpd   rw:xmm      r:xmm/m128  r:xmm0  66 0F 38 15 /r
  roundps    w:xmm       r:xmm/m128  r:imm8  66 0F 3A 08 /r ib
  roundpd    w:xmm       r:xmm/m128  r:imm8  66 0F 3A 09 /r ib
  roundss    rw:xmm      r:xmm/m32   r:imm8  66 0F 3A 0A /r ib
  roundsd    rw:xmm      r:xmm/m64   r:imm8  66 0F 3A 0B /r ib
  blendps    rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 0C /r ib
  blendpd    rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 0D /r ib
  extractps  w:rm32      r:xmm       r:imm8  66 0F 3A 17 /r ib
  insertps   rw:xmm      r:xmm/m32   r:imm8  66 0F 3A 21 /r ib
  dpps       rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 40 /r ib
  dppd       rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 41 /r ib
`;
