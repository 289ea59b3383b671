// The model against the writer itself, compiled here, on plain files: what it has written fits, and
// anything else does not.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../root.ts';
import { readFlushed } from './crash-console.ts';
import { CrashModel } from './crash-model.ts';

const NO_GCC = spawnSync('gcc', ['--version']).status !== 0;
const BYTES = 9 << 20;
const SEED = 4_294_967_290;
/** Stands in for what files have no call for. */
const SHIM = `
  #include <linux/fs.h>
  #include <stdarg.h>
  #include <stdint.h>
  #include <stdlib.h>
  #include <string.h>
  #include <unistd.h>
  int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    uint64_t *argument = va_arg(list, uint64_t *);
    va_end(list);
    if (request == BLKGETSIZE64) { *argument = ${BYTES}; return 0; }
    if (request == BLKDISCARD) return 0;
    char *zeroes = NULL;
    if (posix_memalign((void **)&zeroes, 4096, argument[1]) != 0) return -1;
    memset(zeroes, 0, argument[1]);
    ssize_t done = pwrite(fd, zeroes, argument[1], argument[0]);
    free(zeroes);
    return done == (ssize_t)argument[1] ? 0 : -1;
  }
  int fsync(int fd) { (void)fd; return 0; }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'crash-model-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.skipIf(NO_GCC)(
  'what the writer leaves is what the model allows, and little else',
  async () => {
    const [shim, program, disk] = ['shim.c', 'writer', 'disk'].map((name) => join(folder, name));
    writeFileSync(shim!, SHIM);
    const source = join(root(), 'scripts/disk/guest/crash-writer.c');
    execFileSync('gcc', ['-O2', '-w', '-DO_DIRECT=0', '-o', program!, source, shim!]);
    const before = new Uint8Array(BYTES).fill(0x77);
    writeFileSync(disk!, before);
    const child = spawn(program!, [String(SEED), disk!], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    let seen = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      seen += text;
      if (seen.split('\n').length > 600) process.kill(-child.pid!, 'SIGKILL');
    });
    await new Promise((resolve) => child.once('close', resolve));
    const after = new Uint8Array(readFileSync(disk!));
    const flushed = readFlushed(seen, 1);
    const model = new CrashModel(before, SEED, 0, flushed[0]!);
    expect(model.flushedSectors).toBeGreaterThan(1000);
    expect(model.wrongSector(after)).toBe(undefined);
    expect(model.wrongSector(before)).toMatch(/^sector \d+ begins with 77777777, and may be /);
    expect(new CrashModel(before, SEED + 1, 0, flushed[0]!).wrongSector(after)).toBeDefined();
  },
);
