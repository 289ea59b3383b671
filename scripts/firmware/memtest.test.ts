// A pass of memtest86+ over a small memory. Its last test leaves the memory alone for minutes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Conversation } from './conversation.ts';
import { type Media, missingTool, prepareMedia } from './media.ts';

const PATIENCE_SECONDS = 240;
const PASS_SECONDS_MAX = 1500;
const missing = missingTool();

describe.skipIf(missing !== undefined)('memtest86+', () => {
  let media: Media;
  let guest: Conversation | undefined;

  beforeAll(() => {
    media = prepareMedia();
  }, PATIENCE_SECONDS * 1000);

  afterAll(() => guest?.leave());

  test('finds no error in a pass over 24 MB', { timeout: PASS_SECONDS_MAX * 1000 }, async () => {
    guest = new Conversation([
      '-b',
      media.firmware,
      '-m',
      '24M',
      '-r',
      media.grubCd,
      '-B',
      'cdrom',
    ]);
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('linux16 /boot/memtest console=ttyS0,115200');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('boot');
    await guest.expect(/Memtest86\+ v[\d.]+/, PATIENCE_SECONDS);
    // Whichever comes first: the end of the pass, or an error.
    const counts = /Pass:\s+(?:[1-9]\d*\s+Errors:\s+\d+|\d+\s+Errors:\s+[1-9]\d*)\s/;
    const [line] = await guest.expect(counts, PASS_SECONDS_MAX);
    expect(line).toMatch(/^Pass:\s+1\s+Errors:\s+0\s$/);
    await guest.leave();
  });
});
