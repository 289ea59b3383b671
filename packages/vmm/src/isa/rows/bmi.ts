// BMI1 and BMI2, the bit instructions with a VEX prefix. SDM vol. 2. TZCNT and LZCNT are in
// bits.ts, with the instructions whose opcodes they share.

/** Bit manipulation. */
export const bmi: string = `
[bmi1]
  andn    w:r32  r:r32   r:rm32  VEX.LZ.NP.0F38.W0 F2 /r   CZSO ~PA
  andn    w:r64  r:r64   r:rm64  VEX.LZ.NP.0F38.W1 F2 /r   CZSO ~PA
  bextr   w:r32  r:rm32  r:r32   VEX.LZ.NP.0F38.W0 F7 /r   CZO ~PAS
  bextr   w:r64  r:rm64  r:r64   VEX.LZ.NP.0F38.W1 F7 /r   CZO ~PAS
  blsr    w:r32  r:rm32          VEX.LZ.NP.0F38.W0 F3 /1   CZSO ~PA
  blsr    w:r64  r:rm64          VEX.LZ.NP.0F38.W1 F3 /1   CZSO ~PA
  blsmsk  w:r32  r:rm32          VEX.LZ.NP.0F38.W0 F3 /2   CZSO ~PA
  blsmsk  w:r64  r:rm64          VEX.LZ.NP.0F38.W1 F3 /2   CZSO ~PA
  blsi    w:r32  r:rm32          VEX.LZ.NP.0F38.W0 F3 /3   CZSO ~PA
  blsi    w:r64  r:rm64          VEX.LZ.NP.0F38.W1 F3 /3   CZSO ~PA
[bmi2]
  bzhi    w:r32  r:rm32  r:r32   VEX.LZ.NP.0F38.W0 F5 /r   CZSO ~PA
  bzhi    w:r64  r:rm64  r:r64   VEX.LZ.NP.0F38.W1 F5 /r   CZSO ~PA
  pext    w:r32  r:r32   r:rm32  VEX.LZ.F3.0F38.W0 F5 /r
  pext    w:r64  r:r64   r:rm64  VEX.LZ.F3.0F38.W1 F5 /r
  pdep    w:r32  r:r32   r:rm32  VEX.LZ.F2.0F38.W0 F5 /r
  pdep    w:r64  r:r64   r:rm64  VEX.LZ.F2.0F38.W1 F5 /r
  mulx    w:r32  w:r32   r:rm32  VEX.LZ.F2.0F38.W0 F6 /r
  mulx    w:r64  w:r64   r:rm64  VEX.LZ.F2.0F38.W1 F6 /r
  shlx    w:r32  r:rm32  r:r32   VEX.LZ.66.0F38.W0 F7 /r
  shlx    w:r64  r:rm64  r:r64   VEX.LZ.66.0F38.W1 F7 /r
  sarx    w:r32  r:rm32  r:r32   VEX.LZ.F3.0F38.W0 F7 /r
  sarx    w:r64  r:rm64  r:r64   VEX.LZ.F3.0F38.W1 F7 /r
  shrx    w:r32  r:rm32  r:r32   VEX.LZ.F2.0F38.W0 F7 /r
  shrx    w:r64  r:rm64  r:r64   VEX.LZ.F2.0F38.W1 F7 /r
  rorx    w:r32  r:rm32  r:imm8  VEX.LZ.F2.0F3A.W0 F0 /r ib
  rorx    w:r64  r:rm64  r:imm8  VEX.LZ.F2.0F3A.W1 F0 /r ib
`;
