import { describe, expect, it } from 'vitest';

import { overlaps } from '../src/capture';
import { moved } from '../src/region';

const AREA = { left: 100, top: 200, width: 400, height: 300 };
const BOX = { left: 110, top: 210, width: 50, height: 40 };

describe('moved', () => {
  it('moves a region, and stays within the output', () => {
    expect(moved(BOX, 'ArrowLeft', false, AREA)).toEqual({ ...BOX, left: 100 });
    expect(moved(moved(BOX, 'ArrowLeft', false, AREA), 'ArrowLeft', false, AREA)).toEqual({
      ...BOX,
      left: 100
    });
    expect(moved(BOX, 'ArrowDown', false, AREA)).toEqual({ ...BOX, top: 220 });
    expect(moved(AREA, 'ArrowRight', false, AREA)).toEqual(AREA);
  });
  it('changes its size, and leaves something of it', () => {
    expect(moved(BOX, 'ArrowRight', true, AREA)).toEqual({ ...BOX, width: 60 });
    expect(moved(BOX, 'ArrowUp', true, AREA)).toEqual({ ...BOX, height: 30 });
    expect(moved({ ...BOX, height: 9 }, 'ArrowUp', true, AREA).height).toBe(8);
    expect(moved(AREA, 'ArrowDown', true, AREA)).toEqual(AREA);
  });
});

describe('overlaps', () => {
  it('takes what is within and what reaches in, and not what stands beside', () => {
    expect(overlaps(BOX, AREA)).toBe(true);
    expect(overlaps({ ...BOX, left: 60 }, AREA)).toBe(true);
    expect(overlaps({ ...BOX, left: 50 }, AREA)).toBe(false);
    expect(overlaps({ ...BOX, top: 500 }, AREA)).toBe(false);
  });
});
