// fio's terse output, version 3 (fio(1), "TERSE OUTPUT"), as the guest's session prints it.

/** What a job came to. */
export interface FioJob {
  readonly name: string;
  /** 0, or the errno that ended it. */
  readonly error: number;
  readonly unit: 'MB/s' | '1/s';
  /** What the quickest tenth of requests took at most, in microseconds: little of other work. */
  readonly quick: number;
  /** How many requests there were, within one or two. */
  readonly requests: number;
  /** Of reads, or of writes when there were none: MB for requests of 64 KiB or more. */
  readonly rate: number;
}

const LINE = /^disk: fio (3;fio-.*)$/gm;
const NAME = 2;
const ERROR = 4;
/** Where the figures of reads and of writes begin: KiB in all, KiB/s, requests/s. */
const READ = 5;
const WRITE = 46;
const LARGE_KIB = 64;
/** Of the twenty percentiles behind the figures: 1, 5, 10 %, and so on. */
const FIRST_DECILE = 14;

/** The jobs on a console, in their order. */
export function parseFio(console: string): FioJob[] {
  return [...console.matchAll(LINE)].map(([, line]) => {
    const fields = line!.trimEnd().split(';');
    const number = (index: number): number => Number(fields[index]);
    const at = number(READ) > 0 ? READ : WRITE;
    const [kibPerSecond, requestsPerSecond] = [number(at + 1), number(at + 2)];
    const isLarge = kibPerSecond / requestsPerSecond >= LARGE_KIB;
    return {
      name: fields[NAME]!,
      error: number(ERROR),
      quick: Number(fields[at + FIRST_DECILE]!.split('=')[1]),
      requests: Math.round((number(at) * requestsPerSecond) / kibPerSecond),
      unit: isLarge ? 'MB/s' : '1/s',
      rate: isLarge ? (kibPerSecond * 1024) / 1e6 : requestsPerSecond,
    };
  });
}
