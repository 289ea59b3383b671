// AVX and F16C: floating point, and what moves and rearranges vectors of it. SDM vol. 2.
//
// A row without a length is one of 128 and one of 256 bits (parse-vex.ts). Every instruction clears
// what its destination register has beyond the bits that it writes, up to bit 255.

const PACKED: Readonly<Record<string, string>> = { ps: 'NP', pd: '66' };
const SCALAR: Readonly<Record<string, readonly [string, string]>> = {
  ss: ['F3', 'm32'],
  sd: ['F2', 'm64'],
};

/** Arithmetic of three operands that all four formats have, by opcode. */
const ARITHMETIC = { add: '58', mul: '59', sub: '5C', min: '5D', div: '5E', max: '5F' };
/** What only vectors have. */
const LOGIC = { unpckl: '14', unpckh: '15', and: '54', andn: '55', or: '56', xor: '57' };

const lines = (text: (format: string) => string[], formats: object): string =>
  Object.keys(formats).flatMap(text).join('\n');

const packed = lines((format) => {
  const vex = `VEX.${PACKED[format]}.0F.WIG`;
  const three = Object.entries({ ...ARITHMETIC, ...LOGIC }).map(
    ([name, opcode]) => `v${name}${format}  w:xy  r:xy  r:xy/m  ${vex} ${opcode} /r`,
  );
  return [
    ...three,
    `vsqrt${format}  w:xy  r:xy/m  ${vex} 51 /r`,
    `vcmp${format}   w:xy  r:xy  r:xy/m  r:imm8  ${vex} C2 /r ib`,
    `vshuf${format}  w:xy  r:xy  r:xy/m  r:imm8  ${vex} C6 /r ib`,
    `vmovu${format}  w:xy    r:xy/m  ${vex} 10 /r`,
    `vmovu${format}  w:xy/m  r:xy    ${vex} 11 /r`,
    `vmova${format}  w:xy    r:xy/m  ${vex} 28 /r  -  aligned`,
    `vmova${format}  w:xy/m  r:xy    ${vex} 29 /r  -  aligned`,
    `vmovnt${format}  w:mxy  r:xy    ${vex} 2B /r  -  aligned`,
    `vmovmsk${format}  w:r32  r:xy   ${vex} 50 /r`,
  ];
}, PACKED);

const scalar = lines((format) => {
  const [prefix, memory] = SCALAR[format];
  const vex = `VEX.LIG.${prefix}.0F.WIG`;
  const three = Object.entries({ ...ARITHMETIC, sqrt: '51' }).map(
    ([name, opcode]) => `v${name}${format}  w:xmm  r:xmm  r:xmm/${memory}  ${vex} ${opcode} /r`,
  );
  const integer = (w: string, bits: string): string[] => [
    `vcvtsi2${format}   w:xmm  r:xmm  r:rm${bits}  VEX.LIG.${prefix}.0F.${w} 2A /r`,
    `vcvtt${format}2si  w:r${bits}  r:xmm/${memory}  VEX.LIG.${prefix}.0F.${w} 2C /r`,
    `vcvt${format}2si   w:r${bits}  r:xmm/${memory}  VEX.LIG.${prefix}.0F.${w} 2D /r`,
  ];
  const comparison = format === 'ss' ? 'NP' : '66';
  return [
    ...three,
    ...integer('W0', '32'),
    ...integer('W1', '64'),
    `vcmp${format}  w:xmm  r:xmm  r:xmm/${memory}  r:imm8  ${vex} C2 /r ib`,
    `vucomi${format}  r:xmm  r:xmm/${memory}  VEX.LIG.${comparison}.0F.WIG 2E /r  CPAZSO`,
    `vcomi${format}   r:xmm  r:xmm/${memory}  VEX.LIG.${comparison}.0F.WIG 2F /r  CPAZSO`,
    `vmov${format}  w:xmm  r:xmm  r:xmm  ${vex} 10 /r`,
    `vmov${format}  w:xmm  r:${memory}   ${vex} 10 /r`,
    `vmov${format}  w:xmm  r:xmm  r:xmm  ${vex} 11 /r  -  mvr`,
    `vmov${format}  w:${memory}  r:xmm   ${vex} 11 /r`,
  ];
}, SCALAR);

/** AVX floating-point instructions. */
export const avxFloat: string = `
[avx]
${packed}
${scalar}
  vmovhlps      w:xmm    r:xmm  r:xmm            VEX.128.NP.0F.WIG 12 /r
  vmovlps       w:xmm    r:xmm  r:m64            VEX.128.NP.0F.WIG 12 /r
  vmovlps       w:m64    r:xmm                   VEX.128.NP.0F.WIG 13 /r
  vmovlhps      w:xmm    r:xmm  r:xmm            VEX.128.NP.0F.WIG 16 /r
  vmovhps       w:xmm    r:xmm  r:m64            VEX.128.NP.0F.WIG 16 /r
  vmovhps       w:m64    r:xmm                   VEX.128.NP.0F.WIG 17 /r
  vmovlpd       w:xmm    r:xmm  r:m64            VEX.128.66.0F.WIG 12 /r
  vmovlpd       w:m64    r:xmm                   VEX.128.66.0F.WIG 13 /r
  vmovhpd       w:xmm    r:xmm  r:m64            VEX.128.66.0F.WIG 16 /r
  vmovhpd       w:m64    r:xmm                   VEX.128.66.0F.WIG 17 /r
  vmovsldup     w:xy     r:xy/m                  VEX.F3.0F.WIG 12 /r
  vmovshdup     w:xy     r:xy/m                  VEX.F3.0F.WIG 16 /r
  vmovddup      w:xmm    r:xmm/m64               VEX.128.F2.0F.WIG 12 /r
  vmovddup      w:ymm    r:ymm/m256              VEX.256.F2.0F.WIG 12 /r
  vrsqrtps      w:xy     r:xy/m                  VEX.NP.0F.WIG 52 /r
  vrcpps        w:xy     r:xy/m                  VEX.NP.0F.WIG 53 /r
  vrsqrtss      w:xmm    r:xmm  r:xmm/m32        VEX.LIG.F3.0F.WIG 52 /r
  vrcpss        w:xmm    r:xmm  r:xmm/m32        VEX.LIG.F3.0F.WIG 53 /r
  vcvtss2sd     w:xmm    r:xmm  r:xmm/m32        VEX.LIG.F3.0F.WIG 5A /r
  vcvtsd2ss     w:xmm    r:xmm  r:xmm/m64        VEX.LIG.F2.0F.WIG 5A /r
  vcvtps2pd     w:xy     r:xy/mh                 VEX.NP.0F.WIG 5A /r
  vcvtpd2ps     w:xmm    r:xy/m                  VEX.66.0F.WIG 5A /r
  vcvtdq2ps     w:xy     r:xy/m                  VEX.NP.0F.WIG 5B /r
  vcvtps2dq     w:xy     r:xy/m                  VEX.66.0F.WIG 5B /r
  vcvttps2dq    w:xy     r:xy/m                  VEX.F3.0F.WIG 5B /r
  vcvtdq2pd     w:xy     r:xy/mh                 VEX.F3.0F.WIG E6 /r
  vcvtpd2dq     w:xmm    r:xy/m                  VEX.F2.0F.WIG E6 /r
  vcvttpd2dq    w:xmm    r:xy/m                  VEX.66.0F.WIG E6 /r
  vhaddpd       w:xy     r:xy   r:xy/m           VEX.66.0F.WIG 7C /r
  vhaddps       w:xy     r:xy   r:xy/m           VEX.F2.0F.WIG 7C /r
  vhsubpd       w:xy     r:xy   r:xy/m           VEX.66.0F.WIG 7D /r
  vhsubps       w:xy     r:xy   r:xy/m           VEX.F2.0F.WIG 7D /r
  vaddsubpd     w:xy     r:xy   r:xy/m           VEX.66.0F.WIG D0 /r
  vaddsubps     w:xy     r:xy   r:xy/m           VEX.F2.0F.WIG D0 /r
  vldmxcsr      r:m32                            VEX.LZ.NP.0F.WIG AE /2
  vstmxcsr      w:m32                            VEX.LZ.NP.0F.WIG AE /3
  vzeroupper                                     VEX.128.NP.0F.WIG 77
  vzeroall                                       VEX.256.NP.0F.WIG 77

  vroundps      w:xy     r:xy/m  r:imm8          VEX.66.0F3A.WIG 08 /r ib
  vroundpd      w:xy     r:xy/m  r:imm8          VEX.66.0F3A.WIG 09 /r ib
  vroundss      w:xmm    r:xmm  r:xmm/m32  r:imm8  VEX.LIG.66.0F3A.WIG 0A /r ib
  vroundsd      w:xmm    r:xmm  r:xmm/m64  r:imm8  VEX.LIG.66.0F3A.WIG 0B /r ib
  vblendps      w:xy     r:xy   r:xy/m  r:imm8   VEX.66.0F3A.WIG 0C /r ib
  vblendpd      w:xy     r:xy   r:xy/m  r:imm8   VEX.66.0F3A.WIG 0D /r ib
  vblendvps     w:xy     r:xy   r:xy/m  r:xy     VEX.66.0F3A.W0 4A /r /is4
  vblendvpd     w:xy     r:xy   r:xy/m  r:xy     VEX.66.0F3A.W0 4B /r /is4
  vdpps         w:xy     r:xy   r:xy/m  r:imm8   VEX.66.0F3A.WIG 40 /r ib
  vdppd         w:xmm    r:xmm  r:xmm/m128  r:imm8  VEX.128.66.0F3A.WIG 41 /r ib
  vextractps    w:rm32   r:xmm  r:imm8           VEX.128.66.0F3A.WIG 17 /r ib
  vinsertps     w:xmm    r:xmm  r:xmm/m32  r:imm8  VEX.128.66.0F3A.WIG 21 /r ib

  vtestps       r:xy     r:xy/m                  VEX.66.0F38.W0 0E /r  CPAZSO
  vtestpd       r:xy     r:xy/m                  VEX.66.0F38.W0 0F /r  CPAZSO
  vpermilps     w:xy     r:xy   r:xy/m           VEX.66.0F38.W0 0C /r
  vpermilpd     w:xy     r:xy   r:xy/m           VEX.66.0F38.W0 0D /r
  vpermilps     w:xy     r:xy/m  r:imm8          VEX.66.0F3A.W0 04 /r ib
  vpermilpd     w:xy     r:xy/m  r:imm8          VEX.66.0F3A.W0 05 /r ib
  vbroadcastss  w:xy     r:m32                   VEX.66.0F38.W0 18 /r
  vbroadcastsd  w:ymm    r:m64                   VEX.256.66.0F38.W0 19 /r
  vbroadcastf128  w:ymm  r:m128                  VEX.256.66.0F38.W0 1A /r
  vmaskmovps    w:xy     r:xy   r:mxy            VEX.66.0F38.W0 2C /r
  vmaskmovpd    w:xy     r:xy   r:mxy            VEX.66.0F38.W0 2D /r
  vmaskmovps    w:mxy    r:xy   r:xy             VEX.66.0F38.W0 2E /r
  vmaskmovpd    w:mxy    r:xy   r:xy             VEX.66.0F38.W0 2F /r
  vperm2f128    w:ymm    r:ymm  r:ymm/m256  r:imm8  VEX.256.66.0F3A.W0 06 /r ib
  vinsertf128   w:ymm    r:ymm  r:xmm/m128  r:imm8  VEX.256.66.0F3A.W0 18 /r ib
  vextractf128  w:xmm/m128  r:ymm  r:imm8        VEX.256.66.0F3A.W0 19 /r ib
[f16c]
  vcvtph2ps     w:xy     r:xy/mh                 VEX.66.0F38.W0 13 /r
  vcvtps2ph     w:xy/mh  r:xy   r:imm8           VEX.66.0F3A.W0 1D /r ib
`;
