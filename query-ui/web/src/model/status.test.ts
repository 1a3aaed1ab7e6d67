import { expect, it } from 'vitest';
import { health } from './status';

const stage = (name: string, state: string) => ({ name, state, records: 0, bytes: 0, lost: 0 });

it.each([
  [[], 'ok', []],
  [['agent ok', 'log ok'], 'ok', []],
  [['agent ok', 'log slow'], 'warn', ['log']],
  [['agent slow', 'log ok', 'store failing', 'kafka failing'], 'err', ['store', 'kafka', 'agent']],
  [['agent failing', 'log stopped'], 'err', ['log', 'agent']],
  [['agent slow', 'log unheard-of'], 'err', ['log', 'agent']],
] as [string[], string, string[]][])('of %j', (states, tone, names) => {
  const found = health(states.map(s => stage(...(s.split(' ') as [string, string]))));
  expect([found.tone, found.troubled.map(s => s.name)]).toEqual([tone, names]);
});
