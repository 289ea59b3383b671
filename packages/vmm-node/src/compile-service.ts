// Compiling in another thread. Requests and batches are messages; a count of batches in shared
// memory tells the processor's thread, which must not spend time on asking, that there is one.

import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import type { CompiledBatch, CpuModel, RegionRequest, RegionService } from 'vmm';

/** The processor's end of the connection. */
export interface CompileLink {
  readonly port: MessagePort;
  /** i32: batches posted so far; i32: 1 once the thread answers. */
  readonly posted: SharedArrayBuffer;
}

/** What the compiling thread starts with: its end, the memory of the machine, and its processor. */
export interface CompileWorkerData extends CompileLink {
  readonly memory: WebAssembly.Memory;
  readonly cpu: CpuModel;
}

/**
 * Starts a thread that compiles for a machine. Pass `link`, with its port in the transfer list, to
 * the processor's thread.
 */
export function startCompiler(
  memory: WebAssembly.Memory,
  cpu: CpuModel,
): { worker: Worker; link: CompileLink } {
  const { port1, port2 } = new MessageChannel();
  const posted = new SharedArrayBuffer(8);
  const data: CompileWorkerData = { memory, cpu, posted, port: port2 };
  const worker = new Worker(new URL('./compile-worker.js', import.meta.url), {
    workerData: data,
    transferList: [port2],
  });
  return { worker, link: { port: port1, posted } };
}

const POSTED = 0;
const READY = 1;

/** Answers requests, in the compiling thread. */
export function serveRequests(
  { port, posted }: CompileLink,
  build: (request: RegionRequest) => CompiledBatch,
): void {
  const count = new Int32Array(posted);
  port.on('message', (request: RegionRequest) => {
    port.postMessage(build(request));
    Atomics.add(count, POSTED, 1);
  });
  Atomics.store(count, READY, 1);
}

/** The compiling thread as the processor's thread sees it. */
export class RemoteCompiler implements RegionService {
  private readonly port: MessagePort;
  private readonly posted: Int32Array;
  private taken = 0;

  constructor({ port, posted }: CompileLink) {
    this.port = port;
    this.posted = new Int32Array(posted);
  }

  get isReady(): boolean {
    return Atomics.load(this.posted, READY) === 1;
  }

  request(request: RegionRequest): void {
    this.port.postMessage(request);
  }

  take(): CompiledBatch | undefined {
    if (Atomics.load(this.posted, POSTED) === this.taken) return undefined;
    const received = receiveMessageOnPort(this.port);
    if (received === undefined) return undefined;
    this.taken = (this.taken + 1) | 0;
    return received.message as CompiledBatch;
  }
}
