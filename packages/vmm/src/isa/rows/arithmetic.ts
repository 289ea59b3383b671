// Integer arithmetic and logic: ADD to CMP, INC, NEG, TEST, MUL, DIV, the compare-and-exchange
// family, decimal adjust, ADX. SDM vol. 2; opcode 82 and F6/F7 /1 (an alias of /0) from its opcode
// map, A.3.
//
// Implicit operands: rAX and rDX of MUL, DIV and CMPXCHG; DX:AX, CX:BX and their wider forms of
// CMPXCHG8B/16B; AL and AH of the decimal instructions.

/** Integer arithmetic and logic. */
export const arithmetic: string = `
  add         rw:rm8   r:r8              00 /r                 CPAZSO        lock
  add         rw:rmv   r:rv              01 /r                 CPAZSO        lock
  add         rw:r8    r:rm8             02 /r                 CPAZSO
  add         rw:rv    r:rmv             03 /r                 CPAZSO
  add         rw:al    r:imm8            04 ib                 CPAZSO
  add         rw:av    r:immz            05 iz                 CPAZSO
  add         rw:rm8   r:imm8            80 /0 ib              CPAZSO        lock
  add         rw:rmv   r:immz            81 /0 iz              CPAZSO        lock
  add         rw:rm8   r:imm8            82 /0 ib              CPAZSO        not64 lock
  add         rw:rmv   r:imm8s           83 /0 ib              CPAZSO        lock

  or          rw:rm8   r:r8              08 /r                 CPZSO ~A      lock
  or          rw:rmv   r:rv              09 /r                 CPZSO ~A      lock
  or          rw:r8    r:rm8             0A /r                 CPZSO ~A
  or          rw:rv    r:rmv             0B /r                 CPZSO ~A
  or          rw:al    r:imm8            0C ib                 CPZSO ~A
  or          rw:av    r:immz            0D iz                 CPZSO ~A
  or          rw:rm8   r:imm8            80 /1 ib              CPZSO ~A      lock
  or          rw:rmv   r:immz            81 /1 iz              CPZSO ~A      lock
  or          rw:rm8   r:imm8            82 /1 ib              CPZSO ~A      not64 lock
  or          rw:rmv   r:imm8s           83 /1 ib              CPZSO ~A      lock

  adc         rw:rm8   r:r8              10 /r                 ?C CPAZSO     lock
  adc         rw:rmv   r:rv              11 /r                 ?C CPAZSO     lock
  adc         rw:r8    r:rm8             12 /r                 ?C CPAZSO
  adc         rw:rv    r:rmv             13 /r                 ?C CPAZSO
  adc         rw:al    r:imm8            14 ib                 ?C CPAZSO
  adc         rw:av    r:immz            15 iz                 ?C CPAZSO
  adc         rw:rm8   r:imm8            80 /2 ib              ?C CPAZSO     lock
  adc         rw:rmv   r:immz            81 /2 iz              ?C CPAZSO     lock
  adc         rw:rm8   r:imm8            82 /2 ib              ?C CPAZSO     not64 lock
  adc         rw:rmv   r:imm8s           83 /2 ib              ?C CPAZSO     lock

  sbb         rw:rm8   r:r8              18 /r                 ?C CPAZSO     lock
  sbb         rw:rmv   r:rv              19 /r                 ?C CPAZSO     lock
  sbb         rw:r8    r:rm8             1A /r                 ?C CPAZSO
  sbb         rw:rv    r:rmv             1B /r                 ?C CPAZSO
  sbb         rw:al    r:imm8            1C ib                 ?C CPAZSO
  sbb         rw:av    r:immz            1D iz                 ?C CPAZSO
  sbb         rw:rm8   r:imm8            80 /3 ib              ?C CPAZSO     lock
  sbb         rw:rmv   r:immz            81 /3 iz              ?C CPAZSO     lock
  sbb         rw:rm8   r:imm8            82 /3 ib              ?C CPAZSO     not64 lock
  sbb         rw:rmv   r:imm8s           83 /3 ib              ?C CPAZSO     lock

  and         rw:rm8   r:r8              20 /r                 CPZSO ~A      lock
  and         rw:rmv   r:rv              21 /r                 CPZSO ~A      lock
  and         rw:r8    r:rm8             22 /r                 CPZSO ~A
  and         rw:rv    r:rmv             23 /r                 CPZSO ~A
  and         rw:al    r:imm8            24 ib                 CPZSO ~A
  and         rw:av    r:immz            25 iz                 CPZSO ~A
  and         rw:rm8   r:imm8            80 /4 ib              CPZSO ~A      lock
  and         rw:rmv   r:immz            81 /4 iz              CPZSO ~A      lock
  and         rw:rm8   r:imm8            82 /4 ib              CPZSO ~A      not64 lock
  and         rw:rmv   r:imm8s           83 /4 ib              CPZSO ~A      lock

  sub         rw:rm8   r:r8              28 /r                 CPAZSO        lock
  sub         rw:rmv   r:rv              29 /r                 CPAZSO        lock
  sub         rw:r8    r:rm8             2A /r                 CPAZSO
  sub         rw:rv    r:rmv             2B /r                 CPAZSO
  sub         rw:al    r:imm8            2C ib                 CPAZSO
  sub         rw:av    r:immz            2D iz                 CPAZSO
  sub         rw:rm8   r:imm8            80 /5 ib              CPAZSO        lock
  sub         rw:rmv   r:immz            81 /5 iz              CPAZSO        lock
  sub         rw:rm8   r:imm8            82 /5 ib              CPAZSO        not64 lock
  sub         rw:rmv   r:imm8s           83 /5 ib              CPAZSO        lock

  xor         rw:rm8   r:r8              30 /r                 CPZSO ~A      lock
  xor         rw:rmv   r:rv              31 /r                 CPZSO ~A      lock
  xor         rw:r8    r:rm8             32 /r                 CPZSO ~A
  xor         rw:rv    r:rmv             33 /r                 CPZSO ~A
  xor         rw:al    r:imm8            34 ib                 CPZSO ~A
  xor         rw:av    r:immz            35 iz                 CPZSO ~A
  xor         rw:rm8   r:imm8            80 /6 ib              CPZSO ~A      lock
  xor         rw:rmv   r:immz            81 /6 iz              CPZSO ~A      lock
  xor         rw:rm8   r:imm8            82 /6 ib              CPZSO ~A      not64 lock
  xor         rw:rmv   r:imm8s           83 /6 ib              CPZSO ~A      lock

  cmp         r:rm8    r:r8              38 /r                 CPAZSO
  cmp         r:rmv    r:rv              39 /r                 CPAZSO
  cmp         r:r8     r:rm8             3A /r                 CPAZSO
  cmp         r:rv     r:rmv             3B /r                 CPAZSO
  cmp         r:al     r:imm8            3C ib                 CPAZSO
  cmp         r:av     r:immz            3D iz                 CPAZSO
  cmp         r:rm8    r:imm8            80 /7 ib              CPAZSO
  cmp         r:rmv    r:immz            81 /7 iz              CPAZSO
  cmp         r:rm8    r:imm8            82 /7 ib              CPAZSO        not64
  cmp         r:rmv    r:imm8s           83 /7 ib              CPAZSO


  inc         rw:rm8                     FE /0                 PAZSO         lock
  inc         rw:rmv                     FF /0                 PAZSO         lock
  inc         rw:rv                      40+r                  PAZSO         not64
  dec         rw:rm8                     FE /1                 PAZSO         lock
  dec         rw:rmv                     FF /1                 PAZSO         lock
  dec         rw:rv                      48+r                  PAZSO         not64
  neg         rw:rm8                     F6 /3                 CPAZSO        lock
  neg         rw:rmv                     F7 /3                 CPAZSO        lock
  not         rw:rm8                     F6 /2                 -             lock
  not         rw:rmv                     F7 /2                 -             lock

  test        r:rm8    r:r8              84 /r                 CPZSO ~A
  test        r:rmv    r:rv              85 /r                 CPZSO ~A
  test        r:al     r:imm8            A8 ib                 CPZSO ~A
  test        r:av     r:immz            A9 iz                 CPZSO ~A
  test        r:rm8    r:imm8            F6 /0 ib              CPZSO ~A
  test        r:rmv    r:immz            F7 /0 iz              CPZSO ~A
  test        r:rm8    r:imm8            F6 /1 ib              CPZSO ~A
  test        r:rmv    r:immz            F7 /1 iz              CPZSO ~A

  mul         r:rm8                      F6 /4                 CO ~PAZS
  mul         r:rmv                      F7 /4                 CO ~PAZS
  imul        r:rm8                      F6 /5                 CO ~PAZS
  imul        r:rmv                      F7 /5                 CO ~PAZS
  imul        rw:rv    r:rmv             0F AF /r              CO ~PAZS
  imul        w:rv     r:rmv    r:immz   69 /r iz              CO ~PAZS
  imul        w:rv     r:rmv    r:imm8s  6B /r ib              CO ~PAZS
  div         r:rm8                      F6 /6                 ~CPAZSO       fault
  div         r:rmv                      F7 /6                 ~CPAZSO       fault
  idiv        r:rm8                      F6 /7                 ~CPAZSO       fault
  idiv        r:rmv                      F7 /7                 ~CPAZSO       fault

  cmpxchg     rw:rm8   r:r8              0F B0 /r              CPAZSO        lock
  cmpxchg     rw:rmv   r:rv              0F B1 /r              CPAZSO        lock
  xadd        rw:rm8   rw:r8             0F C0 /r              CPAZSO        lock
  xadd        rw:rmv   rw:rv             0F C1 /r              CPAZSO        lock
[cx8]
  cmpxchg8b   rw:m64                     0F C7 /1              Z             lock
[cx16]
  cmpxchg16b  rw:m128                    REX.W 0F C7 /1        Z             lock only64

[not64]
  daa                                    27                    ?CA CPAZS ~O
  das                                    2F                    ?CA CPAZS ~O
  aaa                                    37                    ?A CA ~PZSO
  aas                                    3F                    ?A CA ~PZSO
  aam         r:imm8                     D4 ib                 PZS ~CAO      fault
  aad         r:imm8                     D5 ib                 PZS ~CAO

[adx]
  adcx        rw:r32   r:rm32            66 0F 38 F6 /r        ?C C
  adcx        rw:r64   r:rm64            66 REX.W 0F 38 F6 /r  ?C C
  adox        rw:r32   r:rm32            F3 0F 38 F6 /r        ?O O
  adox        rw:r64   r:rm64            F3 REX.W 0F 38 F6 /r  ?O O
`;
