// Debian at work is suspended and goes on in other processes, from one way of executing to the
// next. `npm run suspend` does the same for longer, at random moments.
import { expect, test } from 'vitest';
import { MODES, Traveller } from './suspend/traveller.ts';

test('a guest that computes and writes its disk goes on in three other processes', async () => {
  const traveller = await Traveller.start('on');
  try {
    for (const mode of MODES) {
      const { fileBytes } = await traveller.travel(mode);
      // Of 256 MB, most are zeros.
      expect(fileBytes).toBeLessThan(160 * 1024 * 1024);
      await traveller.works();
    }
    await traveller.finish();
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${traveller.evidence}`);
  } finally {
    await traveller.dispose();
  }
}, 600_000);
