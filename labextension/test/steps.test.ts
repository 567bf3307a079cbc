import { readFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { RUNNING } from '../src/steps';

it('knows the words of the kernel for a step that runs', () => {
  const words = readFileSync(new URL('../fixtures/running.json', import.meta.url), 'utf8');
  expect([...RUNNING]).toEqual(JSON.parse(words));
});
