// Structured control flow for a region: from a graph of blocks to nested WebAssembly blocks and
// loops, after N. Ramsey, "Beyond Relooper" (ICFP 2022). Works on the dominator tree: a node with
// several forward predecessors ("merge node") is placed behind a block that its dominator opens, a
// node with a backward predecessor starts a loop. Edges that enter a loop sideways have no such
// form; they leave the region instead.

/** A graph of nodes 0..n-1 with node 0 as its entry. */
export interface Graph {
  readonly successors: readonly (readonly number[])[];
}

/** The shape of a graph. Unreachable nodes have order -1. */
export interface Shape {
  /** Position in reverse postorder. */
  readonly order: readonly number[];
  /** Immediate dominator; of the entry: itself. */
  readonly dominator: readonly number[];
  /** Nodes that a back edge goes to. */
  readonly isLoop: readonly boolean[];
  /** Nodes with two or more forward edges into them. */
  readonly isMerge: readonly boolean[];
  /** For each node, the merge nodes it dominates immediately, in descending order. */
  readonly merges: readonly (readonly number[])[];
}

function reversePostorder({ successors }: Graph): number[] {
  const seen = successors.map(() => false);
  const postorder: number[] = [];
  const visit = (node: number): void => {
    seen[node] = true;
    for (const next of successors[node]) if (!seen[next]) visit(next);
    postorder.push(node);
  };
  visit(0);
  return postorder.reverse();
}

/** Immediate dominators, after Cooper, Harvey and Kennedy: iterate to the fixed point. */
function dominators(graph: Graph, sequence: readonly number[], order: readonly number[]): number[] {
  const predecessors: number[][] = graph.successors.map(() => []);
  for (const node of sequence) {
    for (const next of graph.successors[node]) predecessors[next].push(node);
  }
  const dominator = graph.successors.map(() => -1);
  dominator[0] = 0;
  const meet = (a: number, b: number): number => {
    let [x, y] = [a, b];
    while (x !== y) {
      while (order[x] > order[y]) x = dominator[x];
      while (order[y] > order[x]) y = dominator[y];
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of sequence.slice(1)) {
      const known = predecessors[node].filter((p) => dominator[p] >= 0);
      const met = known.reduce((a, b) => meet(a, b));
      if (dominator[node] !== met) {
        dominator[node] = met;
        changed = true;
      }
    }
  }
  return dominator;
}

/** Whether `a` dominates `b`. */
export function dominates(
  shape: Pick<Shape, 'dominator' | 'order'>,
  a: number,
  b: number,
): boolean {
  let node = b;
  while (shape.order[node] > shape.order[a]) node = shape.dominator[node];
  return node === a;
}

/** Computes the shape of a graph. */
export function shapeOf(graph: Graph): Shape {
  const sequence = reversePostorder(graph);
  const order = graph.successors.map(() => -1);
  for (const [position, node] of sequence.entries()) order[node] = position;
  const dominator = dominators(graph, sequence, order);
  const isLoop = graph.successors.map(() => false);
  const forward = graph.successors.map(() => 0);
  for (const node of sequence) {
    for (const next of graph.successors[node]) {
      if (order[next] > order[node]) forward[next]++;
      else if (dominates({ dominator, order }, next, node)) isLoop[next] = true;
    }
  }
  const isMerge = forward.map((count) => count >= 2);
  const merges: number[][] = graph.successors.map(() => []);
  for (const node of [...sequence].reverse()) {
    if (node !== 0 && isMerge[node]) merges[dominator[node]].push(node);
  }
  return { order, dominator, isLoop, isMerge, merges };
}
