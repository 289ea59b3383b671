// Assertions for what only a defect of ours can break. They stay in production, on cold paths.

/** Thrown when an assertion fails: a defect in this program, never the guest's or the user's doing. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws {@link AssertionError} with `message` unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a place that the types say cannot be reached. */
export function assertNever(value: never, what = 'value'): never {
  throw new AssertionError(`unexpected ${what}: ${String(value)}`);
}
