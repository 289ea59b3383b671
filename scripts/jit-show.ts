// What the compiler makes of a piece of guest code:
//
//   npm run jit:show -- 'add rax, [rbx]; dec ecx; jnz .-5'
//   npm run jit:show -- file.asm
//
// prints the instructions of the region that starts with the first one, and the region's
// WebAssembly, each instruction in front of its own. The code is 64-bit code for GNU as, in Intel's
// notation, and lies at 0x1000. Needs as(1) and ld(1).

import { existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { ADDRESS, regionText } from '../packages/vmm/test/golden/region-text.ts';
import { assemble } from '../packages/vmm/test/guest-program.ts';

const USAGE = "usage: npm run jit:show -- 'instruction; instruction ...' | file.asm";

function fail(text: string): never {
  console.error(text);
  process.exit(1);
}

/** The bytes of the code; an error, which the assembler has printed itself, ends the run. */
function bytesOf(source: string): Uint8Array {
  try {
    return assemble(source, 64, ADDRESS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      fail('There is no assembler: install binutils, for as(1) and ld(1).');
    }
    return fail('The code does not assemble.');
  }
}

const [argument, ...others] = process.argv.slice(2);
if (argument === undefined || others.length > 0 || argument.startsWith('-')) fail(USAGE);
const source = existsSync(argument) ? readFileSync(argument, 'utf8') : argument;
const code = bytesOf(source);
if (code.length === 0) fail('There is no instruction in the code.');
if (code.length > 4096)
  fail('The code is longer than a page, 4096 bytes; a region is part of one.');
try {
  process.stdout.write(await regionText(code));
} catch (error) {
  fail((error as Error).message);
}
