// The seed of a random test: SEED in the environment, or the time; printed, so that a failure can
// be repeated.

/** The seed for `test`. */
export function seedOf(test: string): number {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  process.stdout.write(`${test}: SEED=${seed}\n`);
  return seed;
}
