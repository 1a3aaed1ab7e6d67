import { expect, it } from 'vitest';
import { distance, meant } from './meant';

const KNOWN = ['service', 'status', 'duration', 'http.route', 'k8s.pod.name'];

it.each([
  ['service = payment', []],
  ['servcie = payment', ['servcie: service = payment']],
  ['NOT Service = payment', ['Service: NOT service = payment']],
  ['serivce * ok', ['serivce: service *']],
  ['resource.k8s.pod.name = x span.http.route = y', []],
  ['nosuch = x', ['nosuch: ']],
  ['st = x', ['st: ']],
  ['service:payment', [': service = payment']],
  ['NOT service:payment', [': NOT service = payment']],
  ['nosuch:payment "service:payment" payment', []],
  ['servcie == x OR a = b', []],
])('%s', (q, expected) =>
  expect(meant(q, KNOWN).map(m => `${m.unknown ?? ''}: ${m.instead ?? ''}`)).toEqual(
    (expected as string[]).map(e => e),
  ),
);
it('counts what is changed, missing, too much or exchanged', () =>
  expect([
    distance('', 'ab'),
    distance('service', 'service'),
    distance('servcie', 'service'),
    distance('servic', 'service'),
    distance('sservice', 'service'),
    distance('sirvixe', 'service'),
  ]).toEqual([2, 0, 1, 1, 1, 2]));
