// How vmctl(8)'s commands reach vmd(8): at the socket that is named or chosen, where a user's own
// vmd is started when it is needed and none runs.

import { fileURLToPath } from 'node:url';
import { VmmError } from 'vmm/errors';
import type { Reply, Request } from '../control/protocol.ts';
import { chooseSocket, ownSocket } from '../control/socket-place.ts';
import { Conversation, NoDaemonError } from './conversation.ts';

const VMD = fileURLToPath(new URL('../../bin/vmd.js', import.meta.url));

/** The vmd that commands talk to. */
export class DaemonLink {
  private readonly uid: number;
  private readonly named: string | undefined;

  /** `named` is the socket of the command line, if it has one. */
  constructor(uid: number, named: string | undefined) {
    this.uid = uid;
    this.named = named;
  }

  /** Connects and asks. */
  async converse(request: Request): Promise<Conversation> {
    const conversation = await Conversation.open(this.path(), this.uid);
    conversation.ask(request);
    return conversation;
  }

  /** As {@link converse}, but starts this user's vmd when there is none; not root's. */
  async converseOnDemand(request: Request): Promise<Conversation> {
    try {
      return await this.converse(request);
    } catch (error) {
      const own = this.named ?? ownSocket(this.uid, process.env);
      const isOwn = this.uid !== 0 && this.path() === own;
      if (!(error instanceof NoDaemonError) || !isOwn) throw error;
      await this.startDaemon();
      return await this.converse(request);
    }
  }

  /** Asks for one answer. */
  async request(request: Request): Promise<Reply> {
    const conversation = await this.converse(request);
    try {
      return await conversation.next();
    } finally {
      conversation.close();
    }
  }

  private path(): string {
    return chooseSocket(this.uid, this.named, process.env);
  }

  private async startDaemon(): Promise<void> {
    const { spawnSync } = await import('node:child_process');
    const words = this.named === undefined ? [] : ['-s', this.named];
    const { status, stderr } = spawnSync(process.execPath, [VMD, '--on-demand', ...words], {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    });
    // Another command may have started one at the same time.
    if (status === 0 || stderr.includes('already running')) return;
    throw new VmmError('EIO', stderr.trim() || 'vmd cannot be started');
  }
}
