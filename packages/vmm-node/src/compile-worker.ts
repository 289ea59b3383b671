// The thread that compiles hot guest code while the machine goes on interpreting it: takes
// requests, answers with modules. It ends with the machine.

import { workerData } from 'node:worker_threads';
import { regionFactory } from 'vmm';
import { type CompileWorkerData, serveRequests } from './compile-service.ts';

const data = workerData as CompileWorkerData;
const factory = regionFactory(data.memory, data.cpu);
serveRequests(data, (request) => factory.build(request));
