// The terminal is a real one: script(1) of util-linux runs a small program on a pseudo-terminal,
// and stty(1) tells the mode before and after it. The program echoes what a guest would get.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const INDEX = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** `then` is what the program does when the user leaves. */
function program(then: string): string {
  return `
    import { Terminal } from '${INDEX}';
    const terminal = new Terminal(process.stdin, process.stdout, () => { ${then} });
    terminal.open();
    terminal.output(new TextEncoder().encode('open raw=' + process.stdin.isRaw + ';'));
    for await (const bytes of terminal.input) {
      terminal.output(new TextEncoder().encode('<' + Buffer.from(bytes).toString('hex') + '>'));
    }
    terminal.output(new TextEncoder().encode('end;'));
    await terminal.drained();
  `;
}

const CLOSE = 'terminal.close()';

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function onTerminal(source: string): ChildProcessWithoutNullStreams {
  const node = `${quote(process.execPath)} --input-type=module -e ${quote(source)}`;
  const command = `stty -g; ${node}; echo "status=$?"; stty -g; echo done`;
  return spawn('script', ['-qec', command, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh' },
  });
}

function withPipes(source: string): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--input-type=module', '-e', source]);
}

/** The child's output; `until` resolves when a pattern has appeared. */
class Output {
  text = '';
  private wake: () => void = () => {};

  constructor(child: ChildProcessWithoutNullStreams) {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.text += chunk.toString();
        this.wake();
      });
    }
  }

  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.text;
  }
}

function modes(text: string): string[] {
  return [...text.matchAll(/[0-9a-f]+(:[0-9a-f]+){10,}/g)].map((match) => match[0]);
}

test('Terminal gives every key to the guest, and the mode back when the user leaves', async () => {
  const child = onTerminal(program(CLOSE));
  const output = new Output(child);
  await output.until(/open raw=true;/);
  child.stdin.write('a\x03\x1a\r');
  await output.until(/<61031a0d>/);
  child.stdin.write('~.');
  const text = await output.until(/done/);
  expect(text).toMatch(/end;status=0/);
  expect(modes(text)).toHaveLength(2);
  expect(modes(text)[0]).toBe(modes(text)[1]);
  child.kill();
});

test.each([
  ['exits', 'process.exit(3)', 3],
  ['throws', 'throw new Error("thrown")', 1],
])('Terminal gives the mode back when the program %s', async (_, then, status) => {
  const child = onTerminal(program(then));
  const output = new Output(child);
  await output.until(/open raw=true;/);
  child.stdin.write('~.');
  const text = await output.until(/done/);
  expect(text).toContain(`status=${status}`);
  expect(modes(text)[0]).toBe(modes(text)[1]);
  child.kill();
});

test('Terminal works with pipes: the end of input ends only the input', async () => {
  const child = withPipes(program(CLOSE));
  const output = new Output(child);
  child.stdin.end('hello\n');
  const gone = new Promise((resolve) => child.once('close', resolve));
  expect(await output.until(/end;/)).toBe('open raw=undefined;<68656c6c6f0a>end;');
  expect(await gone).toBe(0);
});

test('Terminal lets the user leave while the guest takes no input', async () => {
  const source = program(CLOSE).replace('for await', 'if (false) for await');
  const child = withPipes(`${source}; await new Promise((r) => setTimeout(r, 1e6).unref());`);
  child.stdin.write('typed\n~.');
  const status = await new Promise((resolve) => child.once('close', resolve));
  // 13: nothing is left that could settle the pending promise; the standard input was let go.
  expect(status).toBe(13);
});
