// System instructions: I/O, descriptor tables, control and debug registers, MSRs, system calls,
// caches, state save, VMX and SVM. SDM vol. 2 and vol. 3C, 31; SVM from the AMD64 manual, vol. 3.
//
// Fast system calls are for 64-bit code only, as on Intel processors. Privilege that is more than
// "CPL is 0" (IOPL, CR4.UMIP, CR4.TSD, FSGSBASE) is the semantics' business; such rows say `fault`.
// The VMX and SVM rows let the disassembler name what a processor without the feature refuses.

/** System instructions. */
export const system: string = `
  in           w:al      r:imm8  E4 ib              ?L       fault
  in           w:av      r:imm8  E5 ib              ?L       z fault
  in           w:al      r:dx    EC                 ?L       fault
  in           w:av      r:dx    ED                 ?L       z fault
  out          r:imm8    r:al    E6 ib              ?L       fault
  out          r:imm8    r:av    E7 ib              ?L       z fault
  out          r:dx      r:al    EE                 ?L       fault
  out          r:dx      r:av    EF                 ?L       z fault
  cli                            FA                 ?L I     fault
  sti                            FB                 ?L I     end fault
  hlt                            F4                 -        cpl0 end
  wait                           9B                 -        fault x87

[protected]
  sldt         w:rv/m16          0F 00 /0           -        fault
  str          w:rv/m16          0F 00 /1           -        fault
  lldt         r:rm16            0F 00 /2           -        cpl0 end
  ltr          r:rm16            0F 00 /3           -        cpl0 end
  verr         r:rm16            0F 00 /4           Z
  verw         r:rm16            0F 00 /5           Z
  lar          rw:rv     r:rm16  0F 02 /r           Z
  lsl          rw:rv     r:rm16  0F 03 /r           Z
  arpl         rw:rm16   r:r16   63 /r              Z        not64
[]
  sgdt         w:mdt             0F 01 /0           -        v fault
  sidt         w:mdt             0F 01 /1           -        v fault
  lgdt         r:mdt             0F 01 /2           -        v cpl0 end
  lidt         r:mdt             0F 01 /3           -        v cpl0 end
  smsw         w:rv/m16          0F 01 /4           -        fault
  lmsw         r:rm16            0F 01 /6           -        cpl0 end
  invlpg       a:m               0F 01 /7           -        cpl0 end
  swapgs                         0F 01 F8           -        only64 cpl0 end
  clts                           0F 06              -        cpl0 end
  invd                           0F 08              -        cpl0 end
  wbinvd                         0F 09              -        cpl0 end
  rsm                            0F AA              *        end fault
  cpuid                          0F A2
  rdpmc                          0F 33              -        fault
  mov          w:r32     r:creg  0F 20 /r           ~CPAZSO  not64 cpl0
  mov          w:r64     r:creg  0F 20 /r           ~CPAZSO  only64 cpl0
  mov          w:r32     r:dreg  0F 21 /r           ~CPAZSO  not64 cpl0
  mov          w:r64     r:dreg  0F 21 /r           ~CPAZSO  only64 cpl0
  mov          w:creg    r:r32   0F 22 /r           ~CPAZSO  not64 cpl0 end
  mov          w:creg    r:r64   0F 22 /r           ~CPAZSO  only64 cpl0 end
  mov          w:dreg    r:r32   0F 23 /r           ~CPAZSO  not64 cpl0 end
  mov          w:dreg    r:r64   0F 23 /r           ~CPAZSO  only64 cpl0 end
[msr]
  wrmsr                          0F 30              -        cpl0 end
  rdmsr                          0F 32              -        cpl0
[tsc]
  rdtsc                          0F 31              -        fault
[rdtscp]
  rdtscp                         0F 01 F9           -        fault
[sep]
  sysenter                       0F 34              IM       end fault
  sysexit                        0F 35              -        v cpl0 end
[syscall only64]
  syscall                        0F 05              ?* *     end fault
  sysret                         0F 07              *        v cpl0 end
[fsgsbase only64]
  rdfsbase     w:r32             F3 0F AE /0        -        fault
  rdfsbase     w:r64             F3 REX.W 0F AE /0  -        fault
  rdgsbase     w:r32             F3 0F AE /1        -        fault
  rdgsbase     w:r64             F3 REX.W 0F AE /1  -        fault
  wrfsbase     r:r32             F3 0F AE /2        -        fault
  wrfsbase     r:r64             F3 REX.W 0F AE /2  -        fault
  wrgsbase     r:r32             F3 0F AE /3        -        fault
  wrgsbase     r:r64             F3 REX.W 0F AE /3  -        fault
[smap]
  clac                           NP 0F 01 CA        K        end fault
  stac                           NP 0F 01 CB        K        end fault
[invpcid protected]
  invpcid      r:r32     r:m128  66 0F 38 82 /r     -        not64 cpl0 end unaligned
  invpcid      r:r64     r:m128  66 0F 38 82 /r     -        only64 cpl0 end unaligned
[rdrand]
  rdrand       w:rv              NFx 0F C7 /6       CPAZSO
[rdseed]
  rdseed       w:rv              NFx 0F C7 /7       CPAZSO
[monitor]
  monitor                        NP 0F 01 C8        -        fault
  mwait                          NP 0F 01 C9        -        fault end

[prefetchw]
  prefetch     a:m8              0F 0D /0
  prefetchw    a:m8              0F 0D /1
  prefetchwt1  a:m8              0F 0D /2
[sse]
  prefetchnta  a:m8              0F 18 /0
  prefetcht0   a:m8              0F 18 /1
  prefetcht1   a:m8              0F 18 /2
  prefetcht2   a:m8              0F 18 /3
  sfence                         NP 0F AE F8+i
[sse2]
  lfence                         NP 0F AE E8+i
  mfence                         NP 0F AE F0+i
[clfsh]
  clflush      r:m8              NP 0F AE /7
[clflushopt]
  clflushopt   r:m8              66 0F AE /7
[clwb]
  clwb         r:m8              66 0F AE /6

[fxsr]
  fxsave       w:m               NP 0F AE /0        -        v
  fxrstor      r:m               NP 0F AE /1        -        v
[xsave]
  xsave        rw:m              NP 0F AE /4        -        v
  xrstor       r:m               NP 0F AE /5        -        v
  xgetbv                         NP 0F 01 D0        -        fault
  xsetbv                         NP 0F 01 D1        -        cpl0 end
[xsaveopt]
  xsaveopt     rw:m              NP 0F AE /6        -        v
[xsavec]
  xsavec       w:m               NP 0F C7 /4        -        v
[xsaves]
  xsaves       w:m               NP 0F C7 /5        -        v cpl0
  xrstors      r:m               NP 0F C7 /3        -        v cpl0

[vmx protected]
  vmcall                         NP 0F 01 C1        CPAZSO   end fault
  vmlaunch                       NP 0F 01 C2        CPAZSO   end fault
  vmresume                       NP 0F 01 C3        CPAZSO   end fault
  vmxoff                         NP 0F 01 C4        CPAZSO   end fault
  vmfunc                         NP 0F 01 D4        -        end fault
  vmptrld      r:m64             NP 0F C7 /6        CPAZSO   end
  vmclear      rw:m64            66 0F C7 /6        CPAZSO   end
  vmxon        r:m64             F3 0F C7 /6        CPAZSO   end
  vmptrst      w:m64             NP 0F C7 /7        CPAZSO
  vmread       w:rm32    r:r32   NP 0F 78 /r        CPAZSO   not64 fault
  vmread       w:rm64    r:r64   NP 0F 78 /r        CPAZSO   only64 fault
  vmwrite      r:r32     r:rm32  NP 0F 79 /r        CPAZSO   not64 fault
  vmwrite      r:r64     r:rm64  NP 0F 79 /r        CPAZSO   only64 fault
  invept       r:r32     r:m128  66 0F 38 80 /r     CPAZSO   not64 end unaligned
  invept       r:r64     r:m128  66 0F 38 80 /r     CPAZSO   only64 end unaligned
  invvpid      r:r32     r:m128  66 0F 38 81 /r     CPAZSO   not64 end unaligned
  invvpid      r:r64     r:m128  66 0F 38 81 /r     CPAZSO   only64 end unaligned
[svm protected]
  vmrun                          0F 01 D8           -        cpl0 end
  vmmcall                        0F 01 D9           -        end fault
  vmload                         0F 01 DA           -        cpl0 end
  vmsave                         0F 01 DB           -        cpl0 end
  stgi                           0F 01 DC           -        cpl0 end
  clgi                           0F 01 DD           -        cpl0 end
  skinit                         0F 01 DE           -        cpl0 end
  invlpga                        0F 01 DF           -        cpl0 end
`;
