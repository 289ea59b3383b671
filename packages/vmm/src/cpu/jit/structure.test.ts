// The shapes of graphs: by hand, and of random graphs against the definitions, which are slow and
// need no cleverness: a dominates b if b cannot be reached once a is taken away.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { dominates, type Graph, shapeOf } from './structure.ts';

const graph = (...successors: number[][]): Graph => ({ successors });

/** What can be reached from the entry without passing through `without`. */
function reachable({ successors }: Graph, without = -1): Set<number> {
  const seen = new Set<number>();
  const pending = without === 0 ? [] : [0];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    pending.push(...successors[node].filter((next) => next !== without));
  }
  return seen;
}

const graphs: fc.Arbitrary<Graph> = fc
  .integer({ min: 1, max: 12 })
  .chain((n) => {
    const node = fc.integer({ min: 0, max: n - 1 });
    return fc.array(fc.array(node, { maxLength: 3 }), { minLength: n, maxLength: n });
  })
  .map((successors) => ({ successors }));

/** Calls back with each edge between reachable nodes. */
function eachEdge(g: Graph, visit: (from: number, to: number) => void): void {
  for (const from of reachable(g)) for (const to of g.successors[from]) visit(from, to);
}

function forwardEdges(g: Graph, order: readonly number[], node: number): number {
  let count = 0;
  eachEdge(g, (from, to) => {
    if (to === node && order[from] < order[to]) count++;
  });
  return count;
}

test('shapeOf() puts the join of a diamond behind a block of its head', () => {
  const shape = shapeOf(graph([1, 2], [3], [3], []));
  expect(shape.dominator).toEqual([0, 0, 0, 0]);
  expect(shape.isMerge).toEqual([false, false, false, true]);
  expect(shape.isLoop).toEqual([false, false, false, false]);
  expect(shape.merges).toEqual([[3], [], [], []]);
  expect(shape.order[0]).toBe(0);
  expect(shape.order[3]).toBe(3);
});

test('shapeOf() finds the heads of nested loops', () => {
  // 0 -> 1 (outer head) -> 2 (inner head) -> 3 -> 2, 1 or out to 4.
  const shape = shapeOf(graph([1], [2], [3], [2, 4], [1, 5], []));
  expect(shape.dominator).toEqual([0, 0, 1, 2, 3, 4]);
  expect(shape.isLoop).toEqual([false, true, true, false, false, false]);
  expect(shape.isMerge).toEqual([false, false, false, false, false, false]);
});

test('shapeOf() gives a loop with two exits to one place a merge behind its head', () => {
  const shape = shapeOf(graph([1, 3], [2, 3], [0], []));
  expect(shape.isLoop).toEqual([true, false, false, false]);
  expect(shape.isMerge[3]).toBe(true);
  expect(shape.merges[0]).toEqual([3]);
});

test('shapeOf() orders the merges of one node from the last', () => {
  // 0 dominates 3 and 4 immediately; 3 comes before 4.
  const shape = shapeOf(graph([1, 2], [3, 4], [3, 4], [4], []));
  expect(shape.merges[0]).toEqual([4, 3]);
});

test('shapeOf() takes a block that jumps to itself for a loop', () => {
  const shape = shapeOf(graph([0, 1], []));
  expect(shape.isLoop).toEqual([true, false]);
  expect(shape.isMerge).toEqual([false, false]);
});

test('shapeOf() calls neither node of a loop with two entries its head', () => {
  const shape = shapeOf(graph([1, 2], [2], [1]));
  expect(shape.dominator).toEqual([0, 0, 0]);
  expect(shape.isLoop).toEqual([false, false, false]);
});

test('shapeOf() counts two edges of one branch to one place as two', () => {
  expect(shapeOf(graph([1, 1], [])).isMerge).toEqual([false, true]);
});

test('shapeOf() gives nodes out of reach no place', () => {
  const shape = shapeOf(graph([1], [], [1, 2]));
  expect(shape.order).toEqual([0, 1, -1]);
  expect(shape.isMerge[1]).toBe(false);
});

test('dominates() is what the definition says, on random graphs', () => {
  fc.assert(
    fc.property(graphs, (g) => {
      const shape = shapeOf(g);
      const nodes = [...reachable(g)];
      for (const a of nodes) {
        const without = reachable(g, a);
        for (const b of nodes) {
          expect(dominates(shape, a, b)).toBe(a === b || !without.has(b));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('shapeOf() numbers nodes so that forward edges go up, on random graphs', () => {
  fc.assert(
    fc.property(graphs, (g) => {
      const { order, dominator } = shapeOf(g);
      const nodes = reachable(g);
      const places = [...nodes].map((node) => order[node]).sort((a, b) => a - b);
      expect(places).toEqual(places.map((_, i) => i));
      for (const [node, place] of order.entries()) expect(place >= 0).toBe(nodes.has(node));
      for (const node of nodes) {
        if (node !== 0) expect(order[dominator[node]]).toBeLessThan(order[node]);
      }
    }),
    { numRuns: 300 },
  );
});

test('every edge has a form: down the tree, to a merge or loop, or out, on random graphs', () => {
  fc.assert(
    fc.property(graphs, (g) => {
      const shape = shapeOf(g);
      const { order, isLoop, isMerge, dominator, merges } = shape;
      eachEdge(g, (from, to) => {
        if (order[to] <= order[from]) {
          expect(isLoop[to] || !dominates(shape, to, from)).toBe(true);
        } else if (isMerge[to]) {
          // The block that `to` lies behind is open where `from` is laid.
          expect(merges[dominator[to]]).toContain(to);
          expect(dominates(shape, dominator[to], from)).toBe(true);
        } else {
          // Laid where its only forward edge is; an edge into a loop from the side may be another.
          expect(forwardEdges(g, order, to)).toBe(1);
          expect(dominates(shape, dominator[to], from)).toBe(true);
        }
      });
      for (const list of merges) {
        const places = list.map((node) => order[node]);
        expect(places).toEqual([...places].sort((a, b) => b - a));
      }
    }),
    { numRuns: 300 },
  );
});
