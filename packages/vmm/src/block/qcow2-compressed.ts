// Compressed clusters of a qcow2 image: deflate or zstd streams that start at any byte of the file
// and end within a count of sectors. Reading only: a cluster that is written is not compressed any
// more.

import { VmmError } from '../base/errors.ts';
import type { BlockFile } from './block-file.ts';
import type { Mapping } from './qcow2-entry.ts';
import { type Compression, refusal } from './qcow2-header.ts';

/**
 * Decompresses the first `length` bytes of a stream at the beginning of `data`, whose end is of no
 * interest. Rejects when there are fewer, or it is no such stream.
 */
export type Decompress = (data: Uint8Array, length: number) => Promise<Uint8Array>;

/** Decompression as the host offers it. */
export interface Decompressors {
  /** Raw deflate, RFC 1951. */
  readonly deflate: Decompress;
  /** Zstandard, RFC 8878. */
  readonly zstd?: Decompress;
}

/** What decompressed clusters that may be read again may take. */
const CACHE_BYTES = 1 << 20;
const CACHE_CLUSTERS_MIN = 2;

/** The compressed clusters of an image. */
export class CompressedClusters {
  private readonly file: BlockFile;
  private readonly clusterBytes: number;
  private readonly decompress: Decompress;
  private readonly clustersMax: number;
  /** By place in the file, the least recently used one first. */
  private readonly clusters = new Map<number, Promise<Uint8Array>>();

  /** Throws VmmError if the host cannot decompress what the image has. */
  constructor(
    file: BlockFile,
    clusterBytes: number,
    compression: Compression,
    decompressors: Decompressors,
  ) {
    const decompress = decompressors[compression];
    if (decompress === undefined) {
      throw refusal(file.name, `is compressed by ${compression}, which this host lacks`, 'ENODEV');
    }
    this.file = file;
    this.clusterBytes = clusterBytes;
    this.decompress = decompress;
    this.clustersMax = Math.max(CACHE_CLUSTERS_MIN, CACHE_BYTES / clusterBytes);
  }

  /** The bytes of a compressed cluster; not to be changed. EIO if they cannot be decompressed. */
  read({ host, length }: Mapping): Promise<Uint8Array> {
    const cached = this.clusters.get(host);
    const cluster = cached ?? this.readNew(host, length);
    this.clusters.delete(host);
    this.clusters.set(host, cluster);
    if (cached === undefined) {
      cluster.catch(() => this.forget(host));
      for (const oldest of this.clusters.keys()) {
        if (this.clusters.size <= this.clustersMax) break;
        this.clusters.delete(oldest);
      }
    }
    return cluster;
  }

  /** Says that the cluster at `host` is no more. */
  forget(host: number): void {
    this.clusters.delete(host);
  }

  private async readNew(host: number, length: number): Promise<Uint8Array> {
    const data = new Uint8Array(length);
    await this.file.read(host, [data]);
    try {
      return await this.decompress(data, this.clusterBytes);
    } catch (cause) {
      const place = `0x${host.toString(16)}`;
      const text = `Disk ${this.file.name} is corrupt: the compressed cluster at ${place} is none.`;
      throw new VmmError('EIO', text, { cause });
    }
  }
}
