// The installer of Debian 12, as it is booted over the network, to the first question that it asks
// on the serial console.

import { afterEach, test } from 'vitest';
import { GuestConsole } from './guest-console.ts';
import { prepareInstaller } from './kernels.ts';

let guest: GuestConsole | undefined;
afterEach(() => guest?.kill());

test("Debian's installer asks for the language", async () => {
  const { kernel, initrd } = prepareInstaller();
  const words = ['-m', '512M', '-L', '-b', kernel, '-I', initrd];
  guest = GuestConsole.vmctl([...words, '-a', 'console=ttyS0 TERM=vt102 --- quiet']);
  await guest.waitFor(/Select a language/);
  await guest.waitFor(/English/);
  // Enter takes English, and the next question is the place.
  guest.type('\r');
  await guest.waitFor(/Select your location/);
});
