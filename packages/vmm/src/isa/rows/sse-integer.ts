// SSE integer instructions on XMM registers: SSE2 to SSE4.2, AES, PCLMULQDQ, SHA. SDM vol. 2.
//
// Implicit operands: XMM0 of the string compares that end in M, rCX of those that end in I, rAX and
// rDX as lengths of PCMPESTRx (64 bits of them with REX.W); seg:rDI of the MASKMOV rows.

/** SSE integer instructions. */
export const sseInteger: string = `
[sse2]
  movd             w:xmm       r:rm32              66 0F 6E /r
  movq             w:xmm       r:rm64              66 REX.W 0F 6E /r
  movd             w:rm32      r:xmm               66 0F 7E /r
  movq             w:rm64      r:xmm               66 REX.W 0F 7E /r
  movq             w:xmm       r:xmm/m64           F3 0F 7E /r
  movq             w:xmm/m64   r:xmm               66 0F D6 /r
  movq2dq          w:xmm       r:mm                F3 0F D6 /r
  movdq2q          w:mm        r:xmm               F2 0F D6 /r
  movdqa           w:xmm       r:xmm/m128          66 0F 6F /r
  movdqa           w:xmm/m128  r:xmm               66 0F 7F /r
  movdqu           w:xmm       r:xmm/m128          F3 0F 6F /r              -       unaligned
  movdqu           w:xmm/m128  r:xmm               F3 0F 7F /r              -       unaligned
  movntdq          w:m128      r:xmm               66 0F E7 /r
  maskmovdqu       r:xmm       r:xmm               66 0F F7 /r              -       fault
  pmovmskb         w:r32       r:xmm               66 0F D7 /r
  pinsrw           rw:xmm      r:r32/m16   r:imm8  66 0F C4 /r ib
  pextrw           w:r32       r:xmm       r:imm8  66 0F C5 /r ib
  pshufd           w:xmm       r:xmm/m128  r:imm8  66 0F 70 /r ib
  pshufhw          w:xmm       r:xmm/m128  r:imm8  F3 0F 70 /r ib
  pshuflw          w:xmm       r:xmm/m128  r:imm8  F2 0F 70 /r ib
  punpcklbw        rw:xmm      r:xmm/m128          66 0F 60 /r
  punpcklwd        rw:xmm      r:xmm/m128          66 0F 61 /r
  punpckldq        rw:xmm      r:xmm/m128          66 0F 62 /r
  packsswb         rw:xmm      r:xmm/m128          66 0F 63 /r
  pcmpgtb          rw:xmm      r:xmm/m128          66 0F 64 /r
  pcmpgtw          rw:xmm      r:xmm/m128          66 0F 65 /r
  pcmpgtd          rw:xmm      r:xmm/m128          66 0F 66 /r
  packuswb         rw:xmm      r:xmm/m128          66 0F 67 /r
  punpckhbw        rw:xmm      r:xmm/m128          66 0F 68 /r
  punpckhwd        rw:xmm      r:xmm/m128          66 0F 69 /r
  punpckhdq        rw:xmm      r:xmm/m128          66 0F 6A /r
  packssdw         rw:xmm      r:xmm/m128          66 0F 6B /r
  punpcklqdq       rw:xmm      r:xmm/m128          66 0F 6C /r
  punpckhqdq       rw:xmm      r:xmm/m128          66 0F 6D /r
  pcmpeqb          rw:xmm      r:xmm/m128          66 0F 74 /r
  pcmpeqw          rw:xmm      r:xmm/m128          66 0F 75 /r
  pcmpeqd          rw:xmm      r:xmm/m128          66 0F 76 /r
  psrlw            rw:xmm      r:xmm/m128          66 0F D1 /r
  psrld            rw:xmm      r:xmm/m128          66 0F D2 /r
  psrlq            rw:xmm      r:xmm/m128          66 0F D3 /r
  paddq            rw:xmm      r:xmm/m128          66 0F D4 /r
  pmullw           rw:xmm      r:xmm/m128          66 0F D5 /r
  psubusb          rw:xmm      r:xmm/m128          66 0F D8 /r
  psubusw          rw:xmm      r:xmm/m128          66 0F D9 /r
  pminub           rw:xmm      r:xmm/m128          66 0F DA /r
  pand             rw:xmm      r:xmm/m128          66 0F DB /r
  paddusb          rw:xmm      r:xmm/m128          66 0F DC /r
  paddusw          rw:xmm      r:xmm/m128          66 0F DD /r
  pmaxub           rw:xmm      r:xmm/m128          66 0F DE /r
  pandn            rw:xmm      r:xmm/m128          66 0F DF /r
  pavgb            rw:xmm      r:xmm/m128          66 0F E0 /r
  psraw            rw:xmm      r:xmm/m128          66 0F E1 /r
  psrad            rw:xmm      r:xmm/m128          66 0F E2 /r
  pavgw            rw:xmm      r:xmm/m128          66 0F E3 /r
  pmulhuw          rw:xmm      r:xmm/m128          66 0F E4 /r
  pmulhw           rw:xmm      r:xmm/m128          66 0F E5 /r
  psubsb           rw:xmm      r:xmm/m128          66 0F E8 /r
  psubsw           rw:xmm      r:xmm/m128          66 0F E9 /r
  pminsw           rw:xmm      r:xmm/m128          66 0F EA /r
  por              rw:xmm      r:xmm/m128          66 0F EB /r
  paddsb           rw:xmm      r:xmm/m128          66 0F EC /r
  paddsw           rw:xmm      r:xmm/m128          66 0F ED /r
  pmaxsw           rw:xmm      r:xmm/m128          66 0F EE /r
  pxor             rw:xmm      r:xmm/m128          66 0F EF /r
  psllw            rw:xmm      r:xmm/m128          66 0F F1 /r
  pslld            rw:xmm      r:xmm/m128          66 0F F2 /r
  psllq            rw:xmm      r:xmm/m128          66 0F F3 /r
  pmuludq          rw:xmm      r:xmm/m128          66 0F F4 /r
  pmaddwd          rw:xmm      r:xmm/m128          66 0F F5 /r
  psadbw           rw:xmm      r:xmm/m128          66 0F F6 /r
  psubb            rw:xmm      r:xmm/m128          66 0F F8 /r
  psubw            rw:xmm      r:xmm/m128          66 0F F9 /r
  psubd            rw:xmm      r:xmm/m128          66 0F FA /r
  psubq            rw:xmm      r:xmm/m128          66 0F FB /r
  paddb            rw:xmm      r:xmm/m128          66 0F FC /r
  paddw            rw:xmm      r:xmm/m128          66 0F FD /r
  paddd            rw:xmm      r:xmm/m128          66 0F FE /r
  psrlw            rw:xmm      r:imm8              66 0F 71 /2 ib
  psraw            rw:xmm      r:imm8              66 0F 71 /4 ib
  psllw            rw:xmm      r:imm8              66 0F 71 /6 ib
  psrld            rw:xmm      r:imm8              66 0F 72 /2 ib
  psrad            rw:xmm      r:imm8              66 0F 72 /4 ib
  pslld            rw:xmm      r:imm8              66 0F 72 /6 ib
  psrlq            rw:xmm      r:imm8              66 0F 73 /2 ib
  psrldq           rw:xmm      r:imm8              66 0F 73 /3 ib
  psllq            rw:xmm      r:imm8              66 0F 73 /6 ib
  pslldq           rw:xmm      r:imm8              66 0F 73 /7 ib

[sse3]
  lddqu            w:xmm       r:m128              F2 0F F0 /r              -       unaligned

[ssse3]
  pshufb           rw:xmm      r:xmm/m128          66 0F 38 00 /r
  phaddw           rw:xmm      r:xmm/m128          66 0F 38 01 /r
  phaddd           rw:xmm      r:xmm/m128          66 0F 38 02 /r
  phaddsw          rw:xmm      r:xmm/m128          66 0F 38 03 /r
  pmaddubsw        rw:xmm      r:xmm/m128          66 0F 38 04 /r
  phsubw           rw:xmm      r:xmm/m128          66 0F 38 05 /r
  phsubd           rw:xmm      r:xmm/m128          66 0F 38 06 /r
  phsubsw          rw:xmm      r:xmm/m128          66 0F 38 07 /r
  psignb           rw:xmm      r:xmm/m128          66 0F 38 08 /r
  psignw           rw:xmm      r:xmm/m128          66 0F 38 09 /r
  psignd           rw:xmm      r:xmm/m128          66 0F 38 0A /r
  pmulhrsw         rw:xmm      r:xmm/m128          66 0F 38 0B /r
  pabsb            w:xmm       r:xmm/m128          66 0F 38 1C /r
  pabsw            w:xmm       r:xmm/m128          66 0F 38 1D /r
  pabsd            w:xmm       r:xmm/m128          66 0F 38 1E /r
  palignr          rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 0F /r ib

[sse4_1]
  pblendvb         rw:xmm      r:xmm/m128  r:xmm0  66 0F 38 10 /r
  ptest            r:xmm       r:xmm/m128          66 0F 38 17 /r           CPAZSO
  pmovsxbw         w:xmm       r:xmm/m64           66 0F 38 20 /r
  pmovsxbd         w:xmm       r:xmm/m32           66 0F 38 21 /r
  pmovsxbq         w:xmm       r:xmm/m16           66 0F 38 22 /r
  pmovsxwd         w:xmm       r:xmm/m64           66 0F 38 23 /r
  pmovsxwq         w:xmm       r:xmm/m32           66 0F 38 24 /r
  pmovsxdq         w:xmm       r:xmm/m64           66 0F 38 25 /r
  pmovzxbw         w:xmm       r:xmm/m64           66 0F 38 30 /r
  pmovzxbd         w:xmm       r:xmm/m32           66 0F 38 31 /r
  pmovzxbq         w:xmm       r:xmm/m16           66 0F 38 32 /r
  pmovzxwd         w:xmm       r:xmm/m64           66 0F 38 33 /r
  pmovzxwq         w:xmm       r:xmm/m32           66 0F 38 34 /r
  pmovzxdq         w:xmm       r:xmm/m64           66 0F 38 35 /r
  pmuldq           rw:xmm      r:xmm/m128          66 0F 38 28 /r
  pcmpeqq          rw:xmm      r:xmm/m128          66 0F 38 29 /r
  packusdw         rw:xmm      r:xmm/m128          66 0F 38 2B /r
  pminsb           rw:xmm      r:xmm/m128          66 0F 38 38 /r
  pminsd           rw:xmm      r:xmm/m128          66 0F 38 39 /r
  pminuw           rw:xmm      r:xmm/m128          66 0F 38 3A /r
  pminud           rw:xmm      r:xmm/m128          66 0F 38 3B /r
  pmaxsb           rw:xmm      r:xmm/m128          66 0F 38 3C /r
  pmaxsd           rw:xmm      r:xmm/m128          66 0F 38 3D /r
  pmaxuw           rw:xmm      r:xmm/m128          66 0F 38 3E /r
  pmaxud           rw:xmm      r:xmm/m128          66 0F 38 3F /r
  pmulld           rw:xmm      r:xmm/m128          66 0F 38 40 /r
  phminposuw       w:xmm       r:xmm/m128          66 0F 38 41 /r
  movntdqa         w:xmm       r:m128              66 0F 38 2A /r
  pblendw          rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 0E /r ib
  pextrb           w:r32/m8    r:xmm       r:imm8  66 0F 3A 14 /r ib
  pextrw           w:r32/m16   r:xmm       r:imm8  66 0F 3A 15 /r ib
  pextrd           w:rm32      r:xmm       r:imm8  66 0F 3A 16 /r ib
  pextrq           w:rm64      r:xmm       r:imm8  66 REX.W 0F 3A 16 /r ib
  pinsrb           rw:xmm      r:r32/m8    r:imm8  66 0F 3A 20 /r ib
  pinsrd           rw:xmm      r:rm32      r:imm8  66 0F 3A 22 /r ib
  pinsrq           rw:xmm      r:rm64      r:imm8  66 REX.W 0F 3A 22 /r ib
  mpsadbw          rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 42 /r ib

[sse4_2]
  pcmpgtq          rw:xmm      r:xmm/m128          66 0F 38 37 /r
  pcmpestrm        r:xmm       r:xmm/m128  r:imm8  66 0F 3A 60 /r ib        CPAZSO  v unaligned
  pcmpestri        r:xmm       r:xmm/m128  r:imm8  66 0F 3A 61 /r ib        CPAZSO  v unaligned
  pcmpistrm        r:xmm       r:xmm/m128  r:imm8  66 0F 3A 62 /r ib        CPAZSO  unaligned
  pcmpistri        r:xmm       r:xmm/m128  r:imm8  66 0F 3A 63 /r ib        CPAZSO  unaligned

[aes]
  aesimc           w:xmm       r:xmm/m128          66 0F 38 DB /r
  aesenc           rw:xmm      r:xmm/m128          66 0F 38 DC /r
  aesenclast       rw:xmm      r:xmm/m128          66 0F 38 DD /r
  aesdec           rw:xmm      r:xmm/m128          66 0F 38 DE /r
  aesdeclast       rw:xmm      r:xmm/m128          66 0F 38 DF /r
  aeskeygenassist  w:xmm       r:xmm/m128  r:imm8  66 0F 3A DF /r ib
[pclmulqdq]
  pclmulqdq        rw:xmm      r:xmm/m128  r:imm8  66 0F 3A 44 /r ib
[sha]
  sha1nexte        rw:xmm      r:xmm/m128          NP 0F 38 C8 /r
  sha1msg1         rw:xmm      r:xmm/m128          NP 0F 38 C9 /r
  sha1msg2         rw:xmm      r:xmm/m128          NP 0F 38 CA /r
  sha256rnds2      rw:xmm      r:xmm/m128  r:xmm0  NP 0F 38 CB /r
  sha256msg1       rw:xmm      r:xmm/m128          NP 0F 38 CC /r
  sha256msg2       rw:xmm      r:xmm/m128          NP 0F 38 CD /r
  sha1rnds4        rw:xmm      r:xmm/m128  r:imm8  NP 0F 3A CC /r ib
`;
