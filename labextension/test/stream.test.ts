import { describe, expect, it } from 'vitest';

import { StreamState } from '../src/stream';

describe('StreamState', () => {
  it('grows, and takes no piece twice', () => {
    const stream = new StreamState();
    expect(stream.push({ id: 'a', n: 1, o: 0, t: 'Hello' })).toBe(0);
    expect(stream.push({ id: 'a', n: 2, o: 5, t: ' there' })).toBe(5);
    expect(stream.push({ id: 'a', n: 2, o: 5, t: ' there' })).toBe('old');
    expect(stream.push({ id: 'a', n: 3, o: 6, t: 'you' })).toBe(6);
    expect(stream.text).toBe('Hello you');
  });
  it('says where a piece is missing, and goes on from the whole text', () => {
    const stream = new StreamState();
    stream.push({ id: 'a', n: 1, o: 0, t: 'Hello' });
    expect(stream.push({ id: 'a', n: 3, o: 5, t: '!' })).toBe('gap');
    expect(stream.text).toBe('Hello');
    stream.reset(3, 'Hello!');
    expect(stream.push({ id: 'a', n: 2, o: 0, t: 'x' })).toBe('old');
    expect(stream.push({ id: 'a', n: 4, o: 9, t: 'x' })).toBe('gap');
    expect(stream.push({ id: 'a', n: 4, o: 6, t: '?' })).toBe(6);
    expect(stream.text).toBe('Hello!?');
  });
  it('keeps what came after a whole text that arrives late', () => {
    const stream = new StreamState();
    stream.push({ id: 'a', n: 1, o: 0, t: 'Hello' });
    stream.push({ id: 'a', n: 2, o: 5, t: '!' });
    stream.reset(1, 'Hello');
    expect(stream.text).toBe('Hello!');
    expect(stream.push({ id: 'a', n: 3, o: 6, t: '?' })).toBe(6);
  });
});
