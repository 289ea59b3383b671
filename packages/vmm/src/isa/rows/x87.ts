// The x87 FPU. SDM vol. 2, and its escape opcode map (A.5); the aliases DC D0, DC D8, DD C8, DE D0,
// DF C8, DF D0, DF D8, D9 D8 and DF C0 are not in it but in every processor.
//
// ST(0) is implicit where the row does not name it: the destination of arithmetic with memory, the
// source of stores, one side of compares and of FXCH. FENI, FDISI and FSETPM are no-operations
// since the 387. There is no row for the waiting forms (FINIT is WAIT, then FNINIT).

/** x87 floating-point instructions. */
export const x87: string = `
[fpu x87]
  fadd      r:m32          D8 /0
  fmul      r:m32          D8 /1
  fcom      r:m32          D8 /2
  fcomp     r:m32          D8 /3
  fsub      r:m32          D8 /4
  fsubr     r:m32          D8 /5
  fdiv      r:m32          D8 /6
  fdivr     r:m32          D8 /7
  fadd      rw:st0  r:sti  D8 C0+i
  fmul      rw:st0  r:sti  D8 C8+i
  fcom      r:sti          D8 D0+i
  fcomp     r:sti          D8 D8+i
  fsub      rw:st0  r:sti  D8 E0+i
  fsubr     rw:st0  r:sti  D8 E8+i
  fdiv      rw:st0  r:sti  D8 F0+i
  fdivr     rw:st0  r:sti  D8 F8+i
  fld       r:m32          D9 /0
  fst       w:m32          D9 /2
  fstp      w:m32          D9 /3
  fldenv    r:m            D9 /4    -       z
  fldcw     r:m16          D9 /5
  fnstenv   w:m            D9 /6    -       z
  fnstcw    w:m16          D9 /7
  fld       r:sti          D9 C0+i
  fxch      rw:sti         D9 C8+i
  fnop                     D9 D0
  fstp      w:sti          D9 D8+i
  fchs                     D9 E0
  fabs                     D9 E1
  ftst                     D9 E4
  fxam                     D9 E5
  fld1                     D9 E8
  fldl2t                   D9 E9
  fldl2e                   D9 EA
  fldpi                    D9 EB
  fldlg2                   D9 EC
  fldln2                   D9 ED
  fldz                     D9 EE
  f2xm1                    D9 F0
  fyl2x                    D9 F1
  fptan                    D9 F2
  fpatan                   D9 F3
  fxtract                  D9 F4
  fprem1                   D9 F5
  fdecstp                  D9 F6
  fincstp                  D9 F7
  fprem                    D9 F8
  fyl2xp1                  D9 F9
  fsqrt                    D9 FA
  fsincos                  D9 FB
  frndint                  D9 FC
  fscale                   D9 FD
  fsin                     D9 FE
  fcos                     D9 FF
  fiadd     r:m32          DA /0
  fimul     r:m32          DA /1
  ficom     r:m32          DA /2
  ficomp    r:m32          DA /3
  fisub     r:m32          DA /4
  fisubr    r:m32          DA /5
  fidiv     r:m32          DA /6
  fidivr    r:m32          DA /7
  fcmovb    rw:st0  r:sti  DA C0+i  ?C
  fcmove    rw:st0  r:sti  DA C8+i  ?Z
  fcmovbe   rw:st0  r:sti  DA D0+i  ?CZ
  fcmovu    rw:st0  r:sti  DA D8+i  ?P
  fucompp                  DA E9
  fild      r:m32          DB /0
  fist      w:m32          DB /2
  fistp     w:m32          DB /3
  fld       r:m80          DB /5
  fstp      w:m80          DB /7
  fcmovnb   rw:st0  r:sti  DB C0+i  ?C
  fcmovne   rw:st0  r:sti  DB C8+i  ?Z
  fcmovnbe  rw:st0  r:sti  DB D0+i  ?CZ
  fcmovnu   rw:st0  r:sti  DB D8+i  ?P
  fneni                    DB E0
  fndisi                   DB E1
  fnclex                   DB E2
  fninit                   DB E3
  fnsetpm                  DB E4
  fucomi    r:st0   r:sti  DB E8+i  CPAZSO
  fcomi     r:st0   r:sti  DB F0+i  CPAZSO
  fadd      r:m64          DC /0
  fmul      r:m64          DC /1
  fcom      r:m64          DC /2
  fcomp     r:m64          DC /3
  fsub      r:m64          DC /4
  fsubr     r:m64          DC /5
  fdiv      r:m64          DC /6
  fdivr     r:m64          DC /7
  fadd      rw:sti  r:st0  DC C0+i
  fmul      rw:sti  r:st0  DC C8+i
  fcom      r:sti          DC D0+i
  fcomp     r:sti          DC D8+i
  fsubr     rw:sti  r:st0  DC E0+i
  fsub      rw:sti  r:st0  DC E8+i
  fdivr     rw:sti  r:st0  DC F0+i
  fdiv      rw:sti  r:st0  DC F8+i
  fld       r:m64          DD /0
  fst       w:m64          DD /2
  fstp      w:m64          DD /3
  frstor    r:m            DD /4    -       z
  fnsave    w:m            DD /6    -       z
  fnstsw    w:m16          DD /7
  ffree     w:sti          DD C0+i
  fxch      rw:sti         DD C8+i
  fst       w:sti          DD D0+i
  fstp      w:sti          DD D8+i
  fucom     r:sti          DD E0+i
  fucomp    r:sti          DD E8+i
  fiadd     r:m16          DE /0
  fimul     r:m16          DE /1
  ficom     r:m16          DE /2
  ficomp    r:m16          DE /3
  fisub     r:m16          DE /4
  fisubr    r:m16          DE /5
  fidiv     r:m16          DE /6
  fidivr    r:m16          DE /7
  faddp     rw:sti  r:st0  DE C0+i
  fmulp     rw:sti  r:st0  DE C8+i
  fcomp     r:sti          DE D0+i
  fcompp                   DE D9
  fsubrp    rw:sti  r:st0  DE E0+i
  fsubp     rw:sti  r:st0  DE E8+i
  fdivrp    rw:sti  r:st0  DE F0+i
  fdivp     rw:sti  r:st0  DE F8+i
  fild      r:m16          DF /0
  fist      w:m16          DF /2
  fistp     w:m16          DF /3
  fbld      r:m80          DF /4
  fild      r:m64          DF /5
  fbstp     w:m80          DF /6
  fistp     w:m64          DF /7
  ffreep    w:sti          DF C0+i
  fxch      rw:sti         DF C8+i
  fstp      w:sti          DF D0+i
  fstp      w:sti          DF D8+i
  fnstsw    w:ax           DF E0
  fucomip   r:st0   r:sti  DF E8+i  CPAZSO
  fcomip    r:st0   r:sti  DF F0+i  CPAZSO
[sse3 x87]
  fisttp    w:m32          DB /1
  fisttp    w:m64          DD /1
  fisttp    w:m16          DF /1
`;
