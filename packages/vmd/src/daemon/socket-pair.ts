// Two ends of a stream socket, for two processes. Node has no socketpair(2); the pair is made by
// listening and connecting in a folder that nobody else can enter.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A connected pair; neither end reads before it is told to. Rejects with what Node rejects. */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  // Of mode 0700.
  const folder = mkdtempSync(join(tmpdir(), 'vmd-link-'));
  const server = createServer({ pauseOnConnect: true });
  try {
    const path = join(folder, 'socket');
    server.listen(path);
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const near = connect(path);
    near.pause();
    await once(near, 'connect');
    const [far] = await accepted;
    return [near, far];
  } finally {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
