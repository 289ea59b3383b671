// `npm run image [-- package ...]`: a disk with Debian 12 and the packages named, raw and qcow2, in
// .cache/image, with its kernel and initrd beside it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './debian.ts';
import { type DebianImage, IMAGE_COMMAND_LINE, prepareImage } from './debian-image.ts';
import { root } from './root.ts';

function main(packages: readonly string[]): number {
  const say = (text: string): void => void process.stderr.write(`${text} ...\n`);
  let image: DebianImage;
  try {
    image = prepareImage(packages, say);
    if (!existsSync(image.qcow2)) {
      say('Copying it into a qcow2 image');
      const vmctl = join(root(), 'packages/vmd/bin/vmctl.js');
      run(process.execPath, [vmctl, 'create', '-i', image.raw, image.qcow2], 'make a qcow2 image');
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'VmmError') throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  process.stdout.write(`${image.raw}\n${image.qcow2}\nBoot it with:
    npx vmctl run -L -m 512M -b ${image.kernel} -I ${image.initrd} \\
        -d ${image.qcow2} -a '${IMAGE_COMMAND_LINE}'
`);
  return 0;
}

process.exitCode = main(process.argv.slice(2));
