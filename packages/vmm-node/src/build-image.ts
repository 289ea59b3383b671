// Run when the packages are built: writes the processor's file.

import { buildProcessor } from 'vmm';
import { writeProcessorImage } from './processor-image.ts';

writeProcessorImage(buildProcessor);
