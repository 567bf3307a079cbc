import { expect, it } from 'vitest';

import { Selections } from '../src/selection';

it('remembers what was selected for each of the newest questions', () => {
  const selections = new Selections();
  for (let number = 0; number < 200; number++) {
    selections.set(String(number), `text ${number}`);
  }
  expect(selections.get('199')).toBe('text 199');
  expect(selections.get('0')).toBeUndefined();
});
