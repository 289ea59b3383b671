// A tap against the kernel behind it, in a network namespace of its own (tap-probe.mjs, which runs
// there): its stack, ping(8) and curl are what the frames must make sense to.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { VmmError } from 'vmm';
import { openTap } from './tap-device.ts';

const PROBE = fileURLToPath(new URL('../../test/tap-probe.mjs', import.meta.url));

/** Why there can be no tap here; undefined when there can. */
function cannotHaveTap(): string | undefined {
  for (const tool of ['unshare', 'ip', 'ping', 'curl', 'bridge']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `needs ${tool}`;
  }
  const words = ['-rn', 'ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap'];
  return spawnSync('unshare', words).status === 0 ? undefined : 'needs tap devices';
}

const reason = cannotHaveTap();

function probe(...words: string[]): string {
  // With the sysfs of the namespace.
  const script = 'mount -t sysfs sysfs /sys && exec "$@"';
  const command = ['-rnm', 'sh', '-c', script, 'sh', process.execPath, PROBE, ...words];
  return execFileSync('unshare', command, { encoding: 'utf8' });
}

test.skipIf(reason !== undefined)(
  'the kernel reaches a gateway over a tap',
  () => {
    const said = JSON.parse(probe('gateway'));
    expect(said.name).toBe('tap0');
    expect(said.alias).toBe('vm1-if0-test');
    expect(said.ping).toContain('3 received');
    expect(said.got).toBe(said.sent);
    // Segments were left to each other: 8 MB would be 5800 frames of 1500 bytes.
    expect(said.frames).toBeLessThan(2000);
    // And the process ends, its thread too.
  },
  60_000,
);

test.skipIf(reason !== undefined)(
  'a tap joins a bridge of the host',
  () => {
    expect(JSON.parse(probe('bridge')).members).toContain('tap0');
  },
  60_000,
);

test.skipIf(reason !== undefined)(
  'what stands in the way of a tap is said in a sentence',
  () => {
    const said = JSON.parse(probe('refusals'));
    expect(said.busy).toBe('tap0 is in use.');
    expect(said.kind).toBe('lo is an interface of another kind.');
    expect(said.bridge).toMatch(/^tap1 cannot join the bridge none: errno \d+\.$/);
  },
  60_000,
);

test.runIf(process.getuid?.() !== 0)('who has no rights gets no tap, and is told why', () => {
  expect(() => openTap({ name: null, bridge: null, alias: '' })).toThrow(VmmError);
});
