// What vmd(8) has to say, a line at a time: on standard error, to the system's log, or where there
// is none, to a file. The system's log is reached by logger(1), as Node has no syslog(3).

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync } from 'node:fs';

/** Takes a line, without its end. */
export type LogSink = (line: string) => void;

/** Standard error. */
export const stderrSink: LogSink = (line) => {
  process.stderr.write(`${line}\n`);
};

/** The socket that logger(1) writes to. */
const SYSLOG_SOCKET = '/dev/log';

/** The system's log, or a file at `fallbackPath` on a host without one. */
export function backgroundSink(fallbackPath: string): LogSink {
  const toFile: LogSink = (line) => {
    appendFileSync(fallbackPath, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 });
  };
  if (!existsSync(SYSLOG_SOCKET)) return toFile;
  let sink: LogSink = toFile;
  const logger = spawn('logger', ['-t', 'vmd', '-p', 'daemon.info'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  sink = (line) => {
    logger.stdin.write(`${line}\n`);
  };
  const giveUp = (): void => {
    sink = toFile;
  };
  logger.on('error', giveUp);
  logger.on('exit', giveUp);
  logger.stdin.on('error', giveUp);
  return (line) => sink(line);
}

/** A log that can be brief or verbose. */
export class Log {
  verbose: boolean;
  private readonly sink: LogSink;

  constructor(sink: LogSink, verbose: boolean) {
    this.sink = sink;
    this.verbose = verbose;
  }

  /** Says something to whoever is in charge. */
  info(text: string): void {
    // Names and paths may come from others: a line stays one line.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be logged
    this.sink(text.replace(/[\x00-\x1f\x7f-\x9f]/g, '?'));
  }

  /** Says something only when verbose. */
  debug(text: string): void {
    if (this.verbose) this.info(text);
  }
}
