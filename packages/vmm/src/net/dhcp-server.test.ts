// The rules of vmd(8)'s DHCP, and the messages of RFC 2131, section 3.
import { expect, test } from 'vitest';
import { type DhcpLease, DhcpServer } from './dhcp-server.ts';
import { gatewayMac, LOCAL_PREFIX, localInterface } from './local-interface.ts';

const MAC = [0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34];
const GUEST = [100, 64, 1, 3];
const GATEWAY = [100, 64, 1, 2];

interface Fields {
  op?: number;
  hops?: number;
  ciaddr?: number[];
  mac?: number[];
  file?: string;
  options?: [number, number[]][];
  broadcast?: boolean;
}

/** A client's message: RFC 2131, figure 1. */
function request(fields: Fields): Uint8Array {
  const message = new Uint8Array(320);
  message.set([fields.op ?? 1, 1, 6, fields.hops ?? 0, 0xca, 0xfe, 0xba, 0xbe]);
  if (fields.broadcast) message[10] = 0x80;
  message.set(fields.ciaddr ?? [0, 0, 0, 0], 12);
  message.set(fields.mac ?? MAC, 28);
  message.set(new TextEncoder().encode(fields.file ?? ''), 108);
  message.set([0x63, 0x82, 0x53, 0x63], 236);
  const options = (fields.options ?? []).flatMap(([code, value]) => [code, value.length, ...value]);
  message.set([...options, 255], 240);
  return message;
}

const lease: DhcpLease = {
  mac: new Uint8Array(MAC),
  address: new Uint8Array(GUEST),
  server: new Uint8Array(GATEWAY),
  prefixLength: 31,
  mtu: 1500,
  hostname: 'web1',
};
const server = new DhcpServer(lease);

/** What a client makes of an answer. */
function ask(fields: Fields) {
  const answer = server.answer(request(fields));
  if (answer === undefined) return undefined;
  const { message, broadcast } = answer;
  const options: Record<number, number[]> = {};
  for (let at = 240; message[at] !== 255; at += 2 + message[at + 1]) {
    options[message[at]] = [...message.subarray(at + 2, at + 2 + message[at + 1])];
  }
  expect([...message.subarray(0, 8)]).toEqual([2, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe]);
  expect([...message.subarray(28, 34)]).toEqual(MAC);
  return { yiaddr: [...message.subarray(16, 20)], options, broadcast };
}

const SETTINGS = {
  1: [255, 255, 255, 254],
  3: GATEWAY,
  6: GATEWAY,
  12: [...new TextEncoder().encode('web1')],
  26: [5, 220],
  51: [255, 255, 255, 255],
};

test('a discovery is offered the address, a request for it or for any is granted', () => {
  expect(ask({ options: [[53, [1]]] })).toEqual({
    yiaddr: GUEST,
    options: { 53: [2], 54: GATEWAY, ...SETTINGS },
    broadcast: false,
  });
  for (const wanted of [[[50, GUEST]], [[50, [0, 0, 0, 0]]], []] as [number, number[]][][]) {
    const granted = ask({ options: [[53, [3]], ...wanted] });
    expect(granted).toMatchObject({ yiaddr: GUEST, options: { 53: [5], ...SETTINGS } });
  }
  expect(ask({ ciaddr: GUEST, options: [[53, [3]]] })).toMatchObject({ options: { 53: [5] } });
});

test('a request for another address is refused, to all stations', () => {
  for (const fields of [
    { options: [[50, [10, 0, 0, 1]]] },
    { ciaddr: [10, 0, 0, 1] },
  ] as Fields[]) {
    const options: [number, number[]][] = [[53, [3]], ...(fields.options ?? [])];
    expect(ask({ ...fields, options })).toEqual({
      yiaddr: [0, 0, 0, 0],
      options: { 53: [6], 54: GATEWAY },
      broadcast: true,
    });
  }
});

test('a request for another server’s offer gets no answer', () => {
  expect(
    ask({
      options: [
        [53, [3]],
        [54, [10, 0, 0, 1]],
      ],
    }),
  ).toBeUndefined();
});

test('a guest booted by the network finds the name of its file (RFC 2131, section 2)', () => {
  const discovery = request({ options: [[53, [1]]] });
  const fileFrom = (one: DhcpServer): string => {
    const file = one.answer(discovery)!.message.subarray(108, 236);
    return new TextDecoder().decode(file).replaceAll('\0', '');
  };
  const booted = new DhcpServer({ ...lease, bootFile: 'auto_install' });
  expect(fileFrom(booted)).toBe('auto_install');
  expect(fileFrom(server)).toBe('');
});

test('BOOTP gets the address, and no message type', () => {
  const answer = ask({ broadcast: true })!;
  expect(answer).toMatchObject({ yiaddr: GUEST, broadcast: true });
  expect(answer.options[53]).toBeUndefined();
});

test('what vmd(8) does not answer is not answered', () => {
  const discover: [number, number[]][] = [[53, [1]]];
  const others: Fields[] = [
    { op: 2 },
    { hops: 1 },
    { file: 'pxelinux.0' },
    { mac: [2, 0, 0, 0, 0, 1] },
    { ciaddr: [10, 0, 0, 1] },
    { options: [[53, [4]]] },
    { options: [[53, [7]]] },
  ];
  for (const fields of others) expect(ask({ options: discover, ...fields })).toBeUndefined();
  expect(server.answer(request({ options: discover }).subarray(0, 239))).toBeUndefined();
});

test('local interfaces are numbered as in vmctl(8): VM 1 has 100.64.1.2 and 100.64.1.3', () => {
  const of = (vm: number, index: number): string[] => {
    const { gateway, guest } = localInterface(LOCAL_PREFIX, vm, index);
    return [gateway.join('.'), guest.join('.')];
  };
  expect(of(1, 0)).toEqual(['100.64.1.2', '100.64.1.3']);
  expect(of(1, 3)).toEqual(['100.64.1.8', '100.64.1.9']);
  expect(of(300, 125)).toEqual(['100.65.44.252', '100.65.44.253']);
  for (const [vm, index] of [
    [1, 126],
    [16384, 0],
  ]) {
    expect(() => of(vm, index)).toThrow('dhcp address range exceeded');
  }
  expect([...gatewayMac(new Uint8Array(MAC))]).toEqual([...MAC.slice(0, 5), 0x35]);
  expect(gatewayMac(new Uint8Array([0, 0, 0, 0, 0, 255]))[5]).toBe(0);
});
