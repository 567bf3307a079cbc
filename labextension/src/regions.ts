/** The parts of outputs that were marked in this page: the kernel has each before a question that names it runs. */

import type { Kernel } from '@jupyterlab/services';

import { request } from './link';
import { type RegionRequest, regionsIn } from './protocol';

/** So many are kept. */
const MOST = 16;

class Regions {
  /** Keep a region, and send it. */
  add(kernel: Kernel.IKernelConnection, region: RegionRequest): void {
    const [oldest] = this.all.keys();
    if (this.all.size >= MOST && oldest !== undefined) {
      this.all.delete(oldest);
    }
    this.all.set(region.id, region);
    this.send(kernel, [region.id]);
  }

  /** Send the regions that a question names, unless this kernel has them. */
  sendNamed(kernel: Kernel.IKernelConnection, question: string): void {
    this.send(kernel, regionsIn(question));
  }

  private send(kernel: Kernel.IKernelConnection, ids: string[]): void {
    const sent = this.sent.get(kernel) ?? new Set<string>();
    if (!this.sent.has(kernel)) {
      this.sent.set(kernel, sent);
      kernel.statusChanged.connect((_, status) => {
        if (status === 'restarting' || status === 'autorestarting') {
          sent.clear();
        }
      });
    }
    for (const id of ids) {
      const region = this.all.get(id);
      if (region && !sent.has(id)) {
        sent.add(id);
        void request(kernel, region).then(reply => reply?.ok || sent.delete(id));
      }
    }
  }

  private readonly all = new Map<string, RegionRequest>();
  private readonly sent = new WeakMap<Kernel.IKernelConnection, Set<string>>();
}

export const regions = new Regions();
