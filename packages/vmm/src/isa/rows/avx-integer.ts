// AVX and AVX2: integer vectors, AES and PCLMULQDQ; and AVX2's broadcasts, permutations and
// gathers. SDM vol. 2. Of rows for both lengths, those of 128 bits are AVX, those of 256 bits AVX2.
//
// The VEX forms of AES and PCLMULQDQ stand under AVX: every processor here that has it has those.

/** Three operands, prefix 66: opcodes by map. */
const THREE = `
  0F.WIG    punpcklbw 60 punpcklwd 61 punpckldq 62 packsswb 63 pcmpgtb 64 pcmpgtw 65 pcmpgtd 66
            packuswb 67 punpckhbw 68 punpckhwd 69 punpckhdq 6A packssdw 6B punpcklqdq 6C
            punpckhqdq 6D pcmpeqb 74 pcmpeqw 75 pcmpeqd 76 paddq D4 pmullw D5 psubusb D8
            psubusw D9 pminub DA pand DB paddusb DC paddusw DD pmaxub DE pandn DF pavgb E0
            pavgw E3 pmulhuw E4 pmulhw E5 psubsb E8 psubsw E9 pminsw EA por EB paddsb EC
            paddsw ED pmaxsw EE pxor EF pmuludq F4 pmaddwd F5 psadbw F6 psubb F8 psubw F9
            psubd FA psubq FB paddb FC paddw FD paddd FE
  0F38.WIG  pshufb 00 phaddw 01 phaddd 02 phaddsw 03 pmaddubsw 04 phsubw 05 phsubd 06 phsubsw 07
            psignb 08 psignw 09 psignd 0A pmulhrsw 0B pmuldq 28 pcmpeqq 29 packusdw 2B
            pcmpgtq 37 pminsb 38 pminsd 39 pminuw 3A pminud 3B pmaxsb 3C pmaxsd 3D pmaxuw 3E
            pmaxud 3F pmulld 40`;

/** Shifts by operand 2, which has 128 bits at any length; by the immediate, with its ModRM.reg. */
const SHIFTS = `psrlw D1 psrld D2 psrlq D3 psraw E1 psrad E2 psllw F1 pslld F2 psllq F3`;
const SHIFTS_BY_IMMEDIATE = `psrlw 71/2 psraw 71/4 psllw 71/6 psrld 72/2 psrad 72/4 pslld 72/6
  psrlq 73/2 psrldq 73/3 psllq 73/6 pslldq 73/7`;

/** Widening moves: the memory form is a half, a quarter or an eighth of the register. */
const WIDENING = `bw 0 h bd 1 q bq 2 e wd 3 h wq 4 q dq 5 h`;

const words = (text: string): string[] => text.trim().split(/\s+/);

function pairs(text: string): [string, string][] {
  const list = words(text);
  return list.flatMap((word, i) => (i % 2 === 0 ? [[word, list[i + 1]]] : []));
}

const three = THREE.trim()
  .split(/\n(?= {2}0F)/)
  .flatMap((group) => {
    const [map, ...list] = words(group);
    return pairs(list.join(' ')).map(
      ([name, opcode]) => `v${name}  w:xy  r:xy  r:xy/m  VEX.66.${map} ${opcode} /r`,
    );
  })
  .join('\n');

const shifts = [
  ...pairs(SHIFTS).map(
    ([name, opcode]) => `v${name}  w:xy  r:xy  r:xmm/m128  VEX.66.0F.WIG ${opcode} /r`,
  ),
  ...pairs(SHIFTS_BY_IMMEDIATE).map(([name, bytes]) => {
    const [opcode, digit] = bytes.split('/');
    return `v${name}  w:xy  r:xy  r:imm8  VEX.66.0F.WIG ${opcode} /${digit} ib`;
  }),
].join('\n');

const widening = words(WIDENING)
  .flatMap((word, i, all) => (i % 3 === 0 ? [[word, all[i + 1], all[i + 2]]] : []))
  .flatMap(([name, opcode, part]) => [
    `vpmovsx${name}  w:xy  r:xy/m${part}  VEX.66.0F38.WIG 2${opcode} /r`,
    `vpmovzx${name}  w:xy  r:xy/m${part}  VEX.66.0F38.WIG 3${opcode} /r`,
  ])
  .join('\n');

/** Gathers, by opcode: the lanes of index and data, VEX.W. */
const gathers = ['vpgather', 'vgather']
  .flatMap((name, i) => {
    const [dword, qword] = i === 0 ? ['d', 'q'] : ['ps', 'pd'];
    const [byDword, byQword] = i === 0 ? ['90', '91'] : ['92', '93'];
    return [
      `${name}d${dword}  rw:xy   r:vm32xy  rw:xy   VEX.66.0F38.W0 ${byDword} /r`,
      `${name}d${qword}  rw:xy   r:vm32x   rw:xy   VEX.66.0F38.W1 ${byDword} /r`,
      `${name}q${dword}  rw:xmm  r:vm64xy  rw:xmm  VEX.66.0F38.W0 ${byQword} /r`,
      `${name}q${qword}  rw:xy   r:vm64xy  rw:xy   VEX.66.0F38.W1 ${byQword} /r`,
    ];
  })
  .join('\n');

/** AVX and AVX2 integer instructions. */
export const avxInteger: string = `
[avx/avx2]
${three}
${shifts}
${widening}
  vpabsb           w:xy   r:xy/m                     VEX.66.0F38.WIG 1C /r
  vpabsw           w:xy   r:xy/m                     VEX.66.0F38.WIG 1D /r
  vpabsd           w:xy   r:xy/m                     VEX.66.0F38.WIG 1E /r
  vpshufd          w:xy   r:xy/m  r:imm8             VEX.66.0F.WIG 70 /r ib
  vpshufhw         w:xy   r:xy/m  r:imm8             VEX.F3.0F.WIG 70 /r ib
  vpshuflw         w:xy   r:xy/m  r:imm8             VEX.F2.0F.WIG 70 /r ib
  vpmovmskb        w:r32  r:xy                       VEX.66.0F.WIG D7 /r
  vmovntdqa        w:xy   r:mxy                      VEX.66.0F38.WIG 2A /r      -  aligned
  vpblendw         w:xy   r:xy  r:xy/m  r:imm8       VEX.66.0F3A.WIG 0E /r ib
  vpalignr         w:xy   r:xy  r:xy/m  r:imm8       VEX.66.0F3A.WIG 0F /r ib
  vmpsadbw         w:xy   r:xy  r:xy/m  r:imm8       VEX.66.0F3A.WIG 42 /r ib
  vpblendvb        w:xy   r:xy  r:xy/m  r:xy         VEX.66.0F3A.W0 4C /r /is4

[avx]
  vmovdqa          w:xy    r:xy/m                    VEX.66.0F.WIG 6F /r        -  aligned
  vmovdqa          w:xy/m  r:xy                      VEX.66.0F.WIG 7F /r        -  aligned
  vmovdqu          w:xy    r:xy/m                    VEX.F3.0F.WIG 6F /r
  vmovdqu          w:xy/m  r:xy                      VEX.F3.0F.WIG 7F /r
  vlddqu           w:xy    r:mxy                     VEX.F2.0F.WIG F0 /r
  vmovntdq         w:mxy   r:xy                      VEX.66.0F.WIG E7 /r        -  aligned
  vptest           r:xy    r:xy/m                    VEX.66.0F38.WIG 17 /r      CPAZSO
  vmovd            w:xmm   r:rm32                    VEX.128.66.0F.W0 6E /r
  vmovq            w:xmm   r:rm64                    VEX.128.66.0F.W1 6E /r
  vmovd            w:rm32  r:xmm                     VEX.128.66.0F.W0 7E /r
  vmovq            w:rm64  r:xmm                     VEX.128.66.0F.W1 7E /r
  vmovq            w:xmm   r:xmm/m64                 VEX.128.F3.0F.WIG 7E /r
  vmovq            w:xmm/m64  r:xmm                  VEX.128.66.0F.WIG D6 /r
  vmaskmovdqu      r:xmm   r:xmm                     VEX.128.66.0F.WIG F7 /r    -  fault
  vpinsrw          w:xmm   r:xmm  r:r32/m16  r:imm8  VEX.128.66.0F.WIG C4 /r ib
  vpextrw          w:r32   r:xmm  r:imm8             VEX.128.66.0F.WIG C5 /r ib
  vphminposuw      w:xmm   r:xmm/m128                VEX.128.66.0F38.WIG 41 /r
  vpextrb          w:r32/m8   r:xmm  r:imm8          VEX.128.66.0F3A.WIG 14 /r ib
  vpextrw          w:r32/m16  r:xmm  r:imm8          VEX.128.66.0F3A.WIG 15 /r ib
  vpextrd          w:rm32  r:xmm  r:imm8             VEX.128.66.0F3A.W0 16 /r ib
  vpextrq          w:rm64  r:xmm  r:imm8             VEX.128.66.0F3A.W1 16 /r ib
  vpinsrb          w:xmm   r:xmm  r:r32/m8   r:imm8  VEX.128.66.0F3A.WIG 20 /r ib
  vpinsrd          w:xmm   r:xmm  r:rm32  r:imm8     VEX.128.66.0F3A.W0 22 /r ib
  vpinsrq          w:xmm   r:xmm  r:rm64  r:imm8     VEX.128.66.0F3A.W1 22 /r ib
  vpcmpestrm       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.W0 60 /r ib  CPAZSO  v
  vpcmpestrm       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.W1 60 /r ib  CPAZSO  v
  vpcmpestri       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.W0 61 /r ib  CPAZSO  v
  vpcmpestri       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.W1 61 /r ib  CPAZSO  v
  vpcmpistrm       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.WIG 62 /r ib  CPAZSO
  vpcmpistri       r:xmm   r:xmm/m128  r:imm8        VEX.128.66.0F3A.WIG 63 /r ib  CPAZSO
  vaesimc          w:xmm   r:xmm/m128                VEX.128.66.0F38.WIG DB /r
  vaesenc          w:xmm   r:xmm  r:xmm/m128         VEX.128.66.0F38.WIG DC /r
  vaesenclast      w:xmm   r:xmm  r:xmm/m128         VEX.128.66.0F38.WIG DD /r
  vaesdec          w:xmm   r:xmm  r:xmm/m128         VEX.128.66.0F38.WIG DE /r
  vaesdeclast      w:xmm   r:xmm  r:xmm/m128         VEX.128.66.0F38.WIG DF /r
  vaeskeygenassist  w:xmm  r:xmm/m128  r:imm8        VEX.128.66.0F3A.WIG DF /r ib
  vpclmulqdq       w:xmm   r:xmm  r:xmm/m128  r:imm8  VEX.128.66.0F3A.WIG 44 /r ib

[avx2]
  vbroadcastss     w:xy    r:xmm                     VEX.66.0F38.W0 18 /r
  vbroadcastsd     w:ymm   r:xmm                     VEX.256.66.0F38.W0 19 /r
  vpbroadcastb     w:xy    r:xmm/m8                  VEX.66.0F38.W0 78 /r
  vpbroadcastw     w:xy    r:xmm/m16                 VEX.66.0F38.W0 79 /r
  vpbroadcastd     w:xy    r:xmm/m32                 VEX.66.0F38.W0 58 /r
  vpbroadcastq     w:xy    r:xmm/m64                 VEX.66.0F38.W0 59 /r
  vbroadcasti128   w:ymm   r:m128                    VEX.256.66.0F38.W0 5A /r
  vpermps          w:ymm   r:ymm  r:ymm/m256         VEX.256.66.0F38.W0 16 /r
  vpermd           w:ymm   r:ymm  r:ymm/m256         VEX.256.66.0F38.W0 36 /r
  vpermq           w:ymm   r:ymm/m256  r:imm8        VEX.256.66.0F3A.W1 00 /r ib
  vpermpd          w:ymm   r:ymm/m256  r:imm8        VEX.256.66.0F3A.W1 01 /r ib
  vpblendd         w:xy    r:xy  r:xy/m  r:imm8      VEX.66.0F3A.W0 02 /r ib
  vinserti128      w:ymm   r:ymm  r:xmm/m128  r:imm8  VEX.256.66.0F3A.W0 38 /r ib
  vextracti128     w:xmm/m128  r:ymm  r:imm8         VEX.256.66.0F3A.W0 39 /r ib
  vperm2i128       w:ymm   r:ymm  r:ymm/m256  r:imm8  VEX.256.66.0F3A.W0 46 /r ib
  vpsrlvd          w:xy    r:xy  r:xy/m              VEX.66.0F38.W0 45 /r
  vpsrlvq          w:xy    r:xy  r:xy/m              VEX.66.0F38.W1 45 /r
  vpsravd          w:xy    r:xy  r:xy/m              VEX.66.0F38.W0 46 /r
  vpsllvd          w:xy    r:xy  r:xy/m              VEX.66.0F38.W0 47 /r
  vpsllvq          w:xy    r:xy  r:xy/m              VEX.66.0F38.W1 47 /r
  vpmaskmovd       w:xy    r:xy  r:mxy               VEX.66.0F38.W0 8C /r
  vpmaskmovq       w:xy    r:xy  r:mxy               VEX.66.0F38.W1 8C /r
  vpmaskmovd       w:mxy   r:xy  r:xy                VEX.66.0F38.W0 8E /r
  vpmaskmovq       w:mxy   r:xy  r:xy                VEX.66.0F38.W1 8E /r
${gathers}
`;
