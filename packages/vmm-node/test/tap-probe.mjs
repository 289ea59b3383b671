// Run by tap.test.ts in a network namespace of its own: opens taps, has the kernel's programs use
// them, and prints what came of it as JSON.

import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { argv, stdout } from 'node:process';
import { promisify } from 'node:util';
import { Gateway, LOCAL_PREFIX, localInterface } from '../../vmm/dist/index.js';
import { HostClock, HostEntropy } from '../dist/host-capabilities.js';
import { HostAlarm, NodeNetwork } from '../dist/host-network.js';
import { SwitchMember } from '../dist/switch-link.js';
import { openTap } from '../dist/tap/tap-device.js';

const run = promisify(execFile);
const ip = (words) => execFileSync('ip', words.split(' '), { encoding: 'utf8' });
const open = (name, bridge = null) => openTap({ name, bridge, alias: 'vm1-if0-test' });

/** What `action` is refused with. */
function refusal(action) {
  try {
    action();
    return 'nothing';
  } catch (error) {
    return error.message;
  }
}

/** The kernel as a guest: its tap is in a switch with a gateway. */
async function gateway() {
  const tap = open(null);
  const member = new SwitchMember(undefined);
  member.addTap(tap.fd);
  const clock = new HostClock();
  const addresses = localInterface(LOCAL_PREFIX, 1, 0);
  const guestMac = Buffer.from('feE1bbd11234', 'hex');
  const it = new Gateway({
    clock,
    alarm: new HostAlarm(clock),
    entropy: new HostEntropy(),
    guestMac,
    ...addresses,
    prefixLength: 31,
    host: new NodeNetwork(),
    hostLoopback: true,
  });
  let frames = 0;
  // The gateway's card is the port, and the port's card the gateway.
  it.attach({
    full: false,
    takesUnfinished: true,
    takesLargeFrames: () => true,
    receive: (frame, unfinished) => {
      frames++;
      member.backend.send(frame, unfinished);
    },
  });
  member.backend.attach({
    full: false,
    takesUnfinished: true,
    takesLargeFrames: () => true,
    receive: (frame, unfinished) => void it.send(frame, unfinished),
    flush: () => it.flush(),
  });
  ip('link set lo up');
  ip('link set tap0 address fe:e1:bb:d1:12:34');
  ip('addr add 100.64.1.3/31 dev tap0');
  ip('route add default via 100.64.1.2');
  const ping = (await run('ping', ['-c', '3', '-i', '0.2', '-W', '20', '100.64.1.2'])).stdout;
  const content = randomBytes(8 << 20);
  const server = createServer((_, response) => response.end(content)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://100.64.1.2:${server.address().port}/`;
  const options = { encoding: 'buffer', maxBuffer: 16 << 20 };
  const got = (await run('curl', ['-sS', '-m', '40', url], options)).stdout;
  server.close();
  server.closeAllConnections();
  it.close();
  const alias = readFileSync(`/sys/class/net/${tap.name}/ifalias`, 'utf8').trim();
  member.close();
  const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
  return { name: tap.name, alias, ping, frames, sent: sha256(content), got: sha256(got) };
}

function bridge() {
  ip('link add bridge0 type bridge');
  open('tap0', 'bridge0');
  return { members: execFileSync('bridge', ['link'], { encoding: 'utf8' }) };
}

function refusals() {
  open('tap0');
  return {
    busy: refusal(() => open('tap0')),
    kind: refusal(() => open('lo')),
    bridge: refusal(() => open('tap1', 'none')),
  };
}

const TESTS = { gateway, bridge, refusals };
stdout.write(JSON.stringify(await TESTS[argv[2]]()));
