// DNS messages, RFC 1035, as far as a forwarder must know them: it changes the identifier, tells
// questions from answers, and can say that it has no answer. Names and records it passes on unseen.

import { get16, put16 } from './bytes.ts';

export const DNS_PORT = 53;
/** Section 4.1.1. */
export const DNS_HEADER_BYTES = 12;

const FLAGS = 2;
const QUESTIONS = 4;
const RESPONSE = 0x8000;
const OPCODE_AND_RD = 0x7900;
const RECURSION_AVAILABLE = 0x0080;
const SERVER_FAILURE = 2;
const LABEL_BYTES_MAX = 63;

/** The identifier of a message. */
export function dnsId(message: Uint8Array): number {
  return get16(message, 0);
}

/** Sets the identifier of a message. */
export function setDnsId(message: Uint8Array, id: number): void {
  put16(message, 0, id);
}

/** Whether a message is a question, or an answer; undefined when it is too short to be either. */
export function dnsKind(message: Uint8Array): 'query' | 'response' | undefined {
  if (message.length < DNS_HEADER_BYTES) return undefined;
  return (get16(message, FLAGS) & RESPONSE) === 0 ? 'query' : 'response';
}

/** The answer "server failure" to a query: its header and first question, if that is one. */
export function dnsFailure(query: Uint8Array): Uint8Array {
  const end = questionEnd(query);
  const answer = query.slice(0, end);
  const flags = get16(query, FLAGS) & OPCODE_AND_RD;
  put16(answer, FLAGS, flags | RESPONSE | RECURSION_AVAILABLE | SERVER_FAILURE);
  put16(answer, QUESTIONS, end > DNS_HEADER_BYTES ? 1 : 0);
  answer.fill(0, QUESTIONS + 2, DNS_HEADER_BYTES);
  return answer;
}

/** Where the first question ends: labels, type, class. The header's end when there is none. */
function questionEnd(query: Uint8Array): number {
  if (get16(query, QUESTIONS) === 0) return DNS_HEADER_BYTES;
  let at = DNS_HEADER_BYTES;
  while (at < query.length && query[at] !== 0) {
    if (query[at] > LABEL_BYTES_MAX) return DNS_HEADER_BYTES;
    at += 1 + query[at];
  }
  const end = at + 5;
  return end <= query.length ? end : DNS_HEADER_BYTES;
}
