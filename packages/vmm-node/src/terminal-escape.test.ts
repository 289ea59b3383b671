// cu(1): "~." at the beginning of a line drops the connection, "~~" sends a tilde.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { EscapeFilter } from './terminal-escape.ts';

function send(...pieces: string[]): { text: string; leave: boolean } {
  const filter = new EscapeFilter();
  let text = '';
  for (const piece of pieces) {
    const { bytes, leave } = filter.push(new TextEncoder().encode(piece));
    text += new TextDecoder().decode(bytes);
    if (leave) return { text, leave };
  }
  return { text, leave: false };
}

test.each([
  ['~.', '', true],
  ['ls\r~.more', 'ls\r', true],
  ['ls\n~.', 'ls\n', true],
  ['~~', '~', false],
  ['~~.', '~.', false],
  ['\r~~~.', '\r~~.', false],
  ['a~.', 'a~.', false],
  ['~x', '~x', false],
  ['~\r~.', '~\r', true],
  ['cd ~\r', 'cd ~\r', false],
])('EscapeFilter.push(%j) sends %j, leaves: %j', (typed, text, leave) => {
  expect(send(typed)).toEqual({ text, leave });
});

test('EscapeFilter.push() does not depend on how the input is cut', () => {
  const typed = fc.array(fc.constantFrom('~', '.', '\r', '\n', 'a'), { maxLength: 30 });
  fc.assert(
    fc.property(typed, (characters) => {
      expect(send(...characters)).toEqual(send(characters.join('')));
    }),
  );
});
