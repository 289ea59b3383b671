// FMA: fused multiply-add, SDM vol. 2, VFMADD132PD to VFNMSUB231SS. The digits of a name say which
// operands are multiplied and which is added: 132 is op0 x op2 + op1, 213 is op1 x op0 + op2, 231
// is op1 x op2 + op0.

/** The high digit of the opcode of each order, and the low digit of each operation, packed. */
const ORDERS = { 132: '9', 213: 'A', 231: 'B' };
const PACKED = { maddsub: '6', msubadd: '7', madd: '8', msub: 'A', nmadd: 'C', nmsub: 'E' };
const SCALAR = { madd: '9', msub: 'B', nmadd: 'D', nmsub: 'F' };

const rows: string[] = [];
for (const [order, high] of Object.entries(ORDERS)) {
  for (const [name, low] of Object.entries(PACKED)) {
    const opcode = `${high}${low} /r`;
    rows.push(`vf${name}${order}ps  rw:xy  r:xy  r:xy/m  VEX.66.0F38.W0 ${opcode}`);
    rows.push(`vf${name}${order}pd  rw:xy  r:xy  r:xy/m  VEX.66.0F38.W1 ${opcode}`);
  }
  for (const [name, low] of Object.entries(SCALAR)) {
    const opcode = `${high}${low} /r`;
    rows.push(`vf${name}${order}ss  rw:xmm  r:xmm  r:xmm/m32  VEX.LIG.66.0F38.W0 ${opcode}`);
    rows.push(`vf${name}${order}sd  rw:xmm  r:xmm  r:xmm/m64  VEX.LIG.66.0F38.W1 ${opcode}`);
  }
}

/** Fused multiply-add. */
export const fma: string = `[fma]\n${rows.join('\n')}`;
