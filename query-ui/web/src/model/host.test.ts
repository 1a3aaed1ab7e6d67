import { expect, test } from 'vitest';
import type { HostMetrics, MetricSeries } from '../api/types';
import { hostView, last } from './host';

const one = (
  name: string,
  attributes: Record<string, string>,
  ...values: (number | null)[]
): MetricSeries => ({ name, unit: '', attributes, values });
const view = (...series: MetricSeries[]) =>
  hostView({ start: '0', stepNs: 1, series, processes: [] } satisfies HostMetrics);

test.each([
  [
    'utilization by mode, without idle',
    [
      one('system.cpu.utilization', { 'cpu.mode': 'idle' }, 0.5),
      one('system.cpu.utilization', { 'cpu.mode': 'system' }, 0.2),
      one('system.cpu.utilization', { 'cpu.mode': 'user' }, 0.3),
    ],
    { user: [0.3], system: [0.2] },
  ],
  [
    'all that is not idle',
    [
      one('system.cpu.utilization', { 'cpu.mode': 'user' }, 0.1),
      one('system.cpu.utilization', { 'cpu.mode': 'nice' }, 0.5),
      one('system.cpu.utilization', { 'cpu.mode': 'interrupt' }, 0.1),
      one('system.cpu.utilization', { 'cpu.mode': 'steal' }, 0.2),
    ],
    { user: [0.6], system: [0.1], steal: [0.2] },
  ],
  [
    'the mean of the processors',
    [
      one('system.cpu.utilization', { state: 'user', cpu: 'cpu0' }, 1, 0),
      one('system.cpu.utilization', { state: 'user', cpu: 'cpu1' }, 0.5, null),
    ],
    { user: [0.75, 0] },
  ],
  [
    'the rate of the time counters over the processors',
    [one('system.cpu.logical.count', {}, 4), one('system.cpu.time', { 'cpu.mode': 'user' }, 2, null)],
    { user: [0.5, null] },
  ],
])('processors: %s', (_, series, expected) =>
  expect(Object.fromEntries(view(...series).cpu.map(l => [l.name, l.values]))).toEqual(expected),
);

test('devices are added up, and what was not measured stays unknown', () => {
  const { disk, network } = view(
    one('system.disk.io', { 'disk.io.direction': 'read', device: 'a' }, 1, null, null),
    one('system.disk.io', { 'disk.io.direction': 'read', device: 'b' }, 2, 3, null),
    one('system.network.io', { direction: 'transmit' }, 7),
  );
  expect(disk).toEqual([{ name: 'read', values: [3, 3, null] }]);
  expect(network).toEqual([{ name: 'transmit', values: [7] }]);
});

test('file systems: used of the whole, else over all states, else the share; those of the kernel are left out', () => {
  const at = (mountpoint: string, state?: string): Record<string, string> => ({
    'system.filesystem.mountpoint': mountpoint,
    ...(state && { 'system.filesystem.state': state }),
  });
  expect(
    view(
      one('system.filesystem.usage', at('/', 'used'), 30),
      one('system.filesystem.usage', at('/', 'free'), 70),
      one('system.filesystem.usage', at('/home', 'used'), 20),
      one('system.filesystem.limit', at('/home'), 80),
      one('system.filesystem.utilization', at('/data'), 0.5, null),
      one('system.filesystem.utilization', at('/sys/fs/cgroup'), 0.1),
    ).disks,
  ).toEqual([
    { mount: '/', used: 0.3, size: 100 },
    { mount: '/data', used: 0.5, size: null },
    { mount: '/home', used: 0.25, size: 80 },
  ]);
});

test('a host that measures nothing has nothing to show', () => {
  expect(view()).toEqual({
    cpu: [],
    load: [],
    memory: [],
    disk: [],
    network: [],
    disks: [],
    cores: null,
    limit: null,
    uptime: null,
  });
  expect(last([1, null])).toBe(1);
});
