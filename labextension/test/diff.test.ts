import { describe, expect, it } from 'vitest';

import { Proposal, replaced } from '../src/diff';

it('is compared again with the change in its place, if that is there once', () => {
  expect(replaced('a = 1\nb = 2', 'b = 2', 'b = $& 3')).toBe('a = 1\nb = $& 3');
  expect(replaced('b = 2\nb = 2', 'b = 2', 'c')).toBeNull();
  expect(replaced('a', 'b', 'c')).toBeNull();
  expect(replaced('a', '', 'c')).toBeNull();
});

describe('Proposal', () => {
  it('waits for who applies it, and is not applied to another text', () => {
    const proposal = new Proposal('old', 'new');
    proposal.decide('approved');
    expect(proposal.state('old')).toBe('approved');
    expect([proposal.fits('old'), proposal.fits('typed'), proposal.fits(null)]).toEqual([true, false, false]);
    proposal.decide('applied');
    proposal.decide('approved');
    expect(proposal.state('new')).toBe('applied');
  });

  it('is for the text it was compared with', () => {
    const proposal = new Proposal('old', 'new');
    expect(proposal.state('old')).toBe('proposed');
    expect(proposal.state('typed')).toBe('changed');
    expect(proposal.state('old')).toBe('proposed');
    proposal.compare('typed');
    expect(proposal.state('typed')).toBe('proposed');
    expect(proposal.state('old')).toBe('changed');
  });
  it('says where there is nothing to decide', () => {
    const proposal = new Proposal('old', 'new');
    expect(proposal.state('new')).toBe('same');
    expect(proposal.state(null)).toBe('gone');
  });
  it('can be undone as long as nobody has edited the cell since', () => {
    const proposal = new Proposal('old', 'new');
    proposal.decide('applied');
    expect(proposal.state('new')).toBe('applied');
    expect(proposal.state('new and more')).toBe('kept');
    expect(proposal.state(null)).toBe('kept');
    proposal.decide('undone');
    expect(proposal.state('old')).toBe('undone');
  });
  it.each(['rejected', 'inserted'] as const)('is over once it is %s', end => {
    const proposal = new Proposal('old', 'new');
    proposal.decide(end);
    expect(['old', 'new', 'typed', null].map(current => proposal.state(current))).toEqual(Array(4).fill(end));
  });
});
