// MMX instructions: those of MMX itself and those that SSE, SSE2 and SSSE3 added on MMX registers.
// SDM vol. 2. Each has its XMM twin in sse-integer.ts.

/** Instructions on MMX registers. */
export const mmx: string = `
[mmx]
  emms                                    NP 0F 77           -  mmx
  movd       w:mm      r:rm32             NP 0F 6E /r
  movq       w:mm      r:rm64             NP REX.W 0F 6E /r
  movd       w:rm32    r:mm               NP 0F 7E /r
  movq       w:rm64    r:mm               NP REX.W 0F 7E /r
  movq       w:mm      r:mm/m64           NP 0F 6F /r
  movq       w:mm/m64  r:mm               NP 0F 7F /r
  punpcklbw  rw:mm     r:mm/m32           NP 0F 60 /r
  punpcklwd  rw:mm     r:mm/m32           NP 0F 61 /r
  punpckldq  rw:mm     r:mm/m32           NP 0F 62 /r
  packsswb   rw:mm     r:mm/m64           NP 0F 63 /r
  pcmpgtb    rw:mm     r:mm/m64           NP 0F 64 /r
  pcmpgtw    rw:mm     r:mm/m64           NP 0F 65 /r
  pcmpgtd    rw:mm     r:mm/m64           NP 0F 66 /r
  packuswb   rw:mm     r:mm/m64           NP 0F 67 /r
  punpckhbw  rw:mm     r:mm/m64           NP 0F 68 /r
  punpckhwd  rw:mm     r:mm/m64           NP 0F 69 /r
  punpckhdq  rw:mm     r:mm/m64           NP 0F 6A /r
  packssdw   rw:mm     r:mm/m64           NP 0F 6B /r
  pcmpeqb    rw:mm     r:mm/m64           NP 0F 74 /r
  pcmpeqw    rw:mm     r:mm/m64           NP 0F 75 /r
  pcmpeqd    rw:mm     r:mm/m64           NP 0F 76 /r
  psrlw      rw:mm     r:mm/m64           NP 0F D1 /r
  psrld      rw:mm     r:mm/m64           NP 0F D2 /r
  psrlq      rw:mm     r:mm/m64           NP 0F D3 /r
  pmullw     rw:mm     r:mm/m64           NP 0F D5 /r
  psubusb    rw:mm     r:mm/m64           NP 0F D8 /r
  psubusw    rw:mm     r:mm/m64           NP 0F D9 /r
  pand       rw:mm     r:mm/m64           NP 0F DB /r
  paddusb    rw:mm     r:mm/m64           NP 0F DC /r
  paddusw    rw:mm     r:mm/m64           NP 0F DD /r
  pandn      rw:mm     r:mm/m64           NP 0F DF /r
  psraw      rw:mm     r:mm/m64           NP 0F E1 /r
  psrad      rw:mm     r:mm/m64           NP 0F E2 /r
  pmulhw     rw:mm     r:mm/m64           NP 0F E5 /r
  psubsb     rw:mm     r:mm/m64           NP 0F E8 /r
  psubsw     rw:mm     r:mm/m64           NP 0F E9 /r
  por        rw:mm     r:mm/m64           NP 0F EB /r
  paddsb     rw:mm     r:mm/m64           NP 0F EC /r
  paddsw     rw:mm     r:mm/m64           NP 0F ED /r
  pxor       rw:mm     r:mm/m64           NP 0F EF /r
  psllw      rw:mm     r:mm/m64           NP 0F F1 /r
  pslld      rw:mm     r:mm/m64           NP 0F F2 /r
  psllq      rw:mm     r:mm/m64           NP 0F F3 /r
  pmaddwd    rw:mm     r:mm/m64           NP 0F F5 /r
  psubb      rw:mm     r:mm/m64           NP 0F F8 /r
  psubw      rw:mm     r:mm/m64           NP 0F F9 /r
  psubd      rw:mm     r:mm/m64           NP 0F FA /r
  paddb      rw:mm     r:mm/m64           NP 0F FC /r
  paddw      rw:mm     r:mm/m64           NP 0F FD /r
  paddd      rw:mm     r:mm/m64           NP 0F FE /r
  psrlw      rw:mm     r:imm8             NP 0F 71 /2 ib
  psraw      rw:mm     r:imm8             NP 0F 71 /4 ib
  psllw      rw:mm     r:imm8             NP 0F 71 /6 ib
  psrld      rw:mm     r:imm8             NP 0F 72 /2 ib
  psrad      rw:mm     r:imm8             NP 0F 72 /4 ib
  pslld      rw:mm     r:imm8             NP 0F 72 /6 ib
  psrlq      rw:mm     r:imm8             NP 0F 73 /2 ib
  psllq      rw:mm     r:imm8             NP 0F 73 /6 ib

[sse]
  pminub     rw:mm     r:mm/m64           NP 0F DA /r
  pmaxub     rw:mm     r:mm/m64           NP 0F DE /r
  pavgb      rw:mm     r:mm/m64           NP 0F E0 /r
  pavgw      rw:mm     r:mm/m64           NP 0F E3 /r
  pmulhuw    rw:mm     r:mm/m64           NP 0F E4 /r
  pminsw     rw:mm     r:mm/m64           NP 0F EA /r
  pmaxsw     rw:mm     r:mm/m64           NP 0F EE /r
  psadbw     rw:mm     r:mm/m64           NP 0F F6 /r
  pshufw     w:mm      r:mm/m64   r:imm8  NP 0F 70 /r ib
  pinsrw     rw:mm     r:r32/m16  r:imm8  NP 0F C4 /r ib
  pextrw     w:r32     r:mm       r:imm8  NP 0F C5 /r ib
  pmovmskb   w:r32     r:mm               NP 0F D7 /r
  movntq     w:m64     r:mm               NP 0F E7 /r
  maskmovq   r:mm      r:mm               NP 0F F7 /r        -  fault

[sse2]
  paddq      rw:mm     r:mm/m64           NP 0F D4 /r
  pmuludq    rw:mm     r:mm/m64           NP 0F F4 /r
  psubq      rw:mm     r:mm/m64           NP 0F FB /r

[ssse3]
  pshufb     rw:mm     r:mm/m64           NP 0F 38 00 /r
  phaddw     rw:mm     r:mm/m64           NP 0F 38 01 /r
  phaddd     rw:mm     r:mm/m64           NP 0F 38 02 /r
  phaddsw    rw:mm     r:mm/m64           NP 0F 38 03 /r
  pmaddubsw  rw:mm     r:mm/m64           NP 0F 38 04 /r
  phsubw     rw:mm     r:mm/m64           NP 0F 38 05 /r
  phsubd     rw:mm     r:mm/m64           NP 0F 38 06 /r
  phsubsw    rw:mm     r:mm/m64           NP 0F 38 07 /r
  psignb     rw:mm     r:mm/m64           NP 0F 38 08 /r
  psignw     rw:mm     r:mm/m64           NP 0F 38 09 /r
  psignd     rw:mm     r:mm/m64           NP 0F 38 0A /r
  pmulhrsw   rw:mm     r:mm/m64           NP 0F 38 0B /r
  pabsb      w:mm      r:mm/m64           NP 0F 38 1C /r
  pabsw      w:mm      r:mm/m64           NP 0F 38 1D /r
  pabsd      w:mm      r:mm/m64           NP 0F 38 1E /r
  palignr    rw:mm     r:mm/m64   r:imm8  NP 0F 3A 0F /r ib
`;
