// Shifts, rotates and bit instructions. SDM vol. 2; C0/C1/D0-D3 /6 is an alias of SHL (opcode map,
// A.3).
//
// OF of a shift is defined for a count of 1 only, which the D0/D1 rows alone know beforehand; the
// other rows call it undefined, and all flags may stay (a count of 0). BSF and BSR leave the
// destination alone for a source of 0, hence rw. Without BMI1 and LZCNT the bytes F3 0F BC and BD
// are BSF and BSR. BT with a register bit offset reaches memory beyond its operand (SDM vol. 2A,
// BT).

/** Shifts, rotates and bit instructions. */
export const bits: string = `
  rol     rw:rm8  r:one           D0 /0                 CO
  rol     rw:rmv  r:one           D1 /0                 CO
  rol     rw:rm8  r:cl            D2 /0                 C ~O      keep
  rol     rw:rmv  r:cl            D3 /0                 C ~O      keep
  rol     rw:rm8  r:imm8          C0 /0 ib              C ~O      keep
  rol     rw:rmv  r:imm8          C1 /0 ib              C ~O      keep

  ror     rw:rm8  r:one           D0 /1                 CO
  ror     rw:rmv  r:one           D1 /1                 CO
  ror     rw:rm8  r:cl            D2 /1                 C ~O      keep
  ror     rw:rmv  r:cl            D3 /1                 C ~O      keep
  ror     rw:rm8  r:imm8          C0 /1 ib              C ~O      keep
  ror     rw:rmv  r:imm8          C1 /1 ib              C ~O      keep

  rcl     rw:rm8  r:one           D0 /2                 ?C CO
  rcl     rw:rmv  r:one           D1 /2                 ?C CO
  rcl     rw:rm8  r:cl            D2 /2                 ?C C ~O   keep
  rcl     rw:rmv  r:cl            D3 /2                 ?C C ~O   keep
  rcl     rw:rm8  r:imm8          C0 /2 ib              ?C C ~O   keep
  rcl     rw:rmv  r:imm8          C1 /2 ib              ?C C ~O   keep

  rcr     rw:rm8  r:one           D0 /3                 ?C CO
  rcr     rw:rmv  r:one           D1 /3                 ?C CO
  rcr     rw:rm8  r:cl            D2 /3                 ?C C ~O   keep
  rcr     rw:rmv  r:cl            D3 /3                 ?C C ~O   keep
  rcr     rw:rm8  r:imm8          C0 /3 ib              ?C C ~O   keep
  rcr     rw:rmv  r:imm8          C1 /3 ib              ?C C ~O   keep

  shl     rw:rm8  r:one           D0 /4                 CPZSO ~A
  shl     rw:rmv  r:one           D1 /4                 CPZSO ~A
  shl     rw:rm8  r:cl            D2 /4                 CPZS ~AO  keep
  shl     rw:rmv  r:cl            D3 /4                 CPZS ~AO  keep
  shl     rw:rm8  r:imm8          C0 /4 ib              CPZS ~AO  keep
  shl     rw:rmv  r:imm8          C1 /4 ib              CPZS ~AO  keep

  shr     rw:rm8  r:one           D0 /5                 CPZSO ~A
  shr     rw:rmv  r:one           D1 /5                 CPZSO ~A
  shr     rw:rm8  r:cl            D2 /5                 CPZS ~AO  keep
  shr     rw:rmv  r:cl            D3 /5                 CPZS ~AO  keep
  shr     rw:rm8  r:imm8          C0 /5 ib              CPZS ~AO  keep
  shr     rw:rmv  r:imm8          C1 /5 ib              CPZS ~AO  keep

  shl     rw:rm8  r:one           D0 /6                 CPZSO ~A
  shl     rw:rmv  r:one           D1 /6                 CPZSO ~A
  shl     rw:rm8  r:cl            D2 /6                 CPZS ~AO  keep
  shl     rw:rmv  r:cl            D3 /6                 CPZS ~AO  keep
  shl     rw:rm8  r:imm8          C0 /6 ib              CPZS ~AO  keep
  shl     rw:rmv  r:imm8          C1 /6 ib              CPZS ~AO  keep

  sar     rw:rm8  r:one           D0 /7                 CPZSO ~A
  sar     rw:rmv  r:one           D1 /7                 CPZSO ~A
  sar     rw:rm8  r:cl            D2 /7                 CPZS ~AO  keep
  sar     rw:rmv  r:cl            D3 /7                 CPZS ~AO  keep
  sar     rw:rm8  r:imm8          C0 /7 ib              CPZS ~AO  keep
  sar     rw:rmv  r:imm8          C1 /7 ib              CPZS ~AO  keep

  shld    rw:rmv  r:rv    r:imm8  0F A4 /r ib           CPZS ~AO  keep
  shld    rw:rmv  r:rv    r:cl    0F A5 /r              CPZS ~AO  keep
  shrd    rw:rmv  r:rv    r:imm8  0F AC /r ib           CPZS ~AO  keep
  shrd    rw:rmv  r:rv    r:cl    0F AD /r              CPZS ~AO  keep

  bt      r:rmv   r:rv            0F A3 /r              C ~PASO
  bts     rw:rmv  r:rv            0F AB /r              C ~PASO   lock
  btr     rw:rmv  r:rv            0F B3 /r              C ~PASO   lock
  btc     rw:rmv  r:rv            0F BB /r              C ~PASO   lock
  bt      r:rmv   r:imm8          0F BA /4 ib           C ~PASO
  bts     rw:rmv  r:imm8          0F BA /5 ib           C ~PASO   lock
  btr     rw:rmv  r:imm8          0F BA /6 ib           C ~PASO   lock
  btc     rw:rmv  r:imm8          0F BA /7 ib           C ~PASO   lock
  bsf     rw:rv   r:rmv           0F BC /r              Z ~CPASO
  bsr     rw:rv   r:rmv           0F BD /r              Z ~CPASO
  bswap   rw:rv                   0F C8+r
[bmi1]
  tzcnt   w:rv    r:rmv           F3 0F BC /r           CZ ~PASO
[lzcnt]
  lzcnt   w:rv    r:rmv           F3 0F BD /r           CZ ~PASO
[popcnt]
  popcnt  w:rv    r:rmv           F3 0F B8 /r           CPAZSO
[sse4_2]
  crc32   rw:r32  r:rm8           F2 0F 38 F0 /r
  crc32   rw:r64  r:rm8           F2 REX.W 0F 38 F0 /r
  crc32   rw:r32  r:rm16          F2 o16 0F 38 F1 /r
  crc32   rw:r32  r:rm32          F2 o32 0F 38 F1 /r
  crc32   rw:r64  r:rm64          F2 REX.W 0F 38 F1 /r
`;
