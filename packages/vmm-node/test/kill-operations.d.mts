// Types of kill-operations.mjs.

/** An operation of the writer that is killed. */
export interface KillOperation {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
}

/** The size of its disk. */
export const DISK_BYTES: number;
export function operationOf(number: number): KillOperation;
export function bytesOf(operation: KillOperation): Uint8Array<ArrayBuffer>;
