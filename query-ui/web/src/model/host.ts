/**
 * What a host measures, as the page shows it. Names and attributes are OpenTelemetry's conventions for system metrics, with the
 * older attribute names that collectors still send.
 */
import type { HostMetrics, MetricSeries } from '../api/types';

type Values = (number | null)[];
export interface Line {
  name: string;
  values: Values;
}
export interface Disk {
  mount: string;
  /** Share of the space that is used, 0 to 1. */
  used: number;
  /** Bytes; null where only the share is known. */
  size: number | null;
}
export interface HostView {
  /** Shares of all processors by what they do, without idle. */
  cpu: Line[];
  load: Line[];
  memory: Line[];
  disk: Line[];
  network: Line[];
  disks: Disk[];
  cores: number | null;
  /** Bytes of memory. */
  limit: number | null;
  /** Seconds since it was started. */
  uptime: number | null;
}

/** Modes of a processor, added up to what is shown; together all but idle. */
const CPU_MODES: Record<string, string[]> = {
    user: ['user', 'nice'],
    system: ['system', 'kernel', 'interrupt', 'softirq', 'irq'],
    iowait: ['iowait', 'wait'],
    steal: ['steal'],
  },
  MEMORY_STATES = ['used', 'cached'],
  DISK = ['read', 'write'],
  NETWORK = ['receive', 'transmit'];
/** Where a mount point holds no files of anyone, its fullness says nothing. */
const NO_DISK = /^\/(proc|sys|dev|run|snap)(\/|$)/;

export function hostView(m: HostMetrics): HostView {
  const named = (name: string) => m.series.filter(s => s.name === name),
    cores = last(named('system.cpu.logical.count')[0]?.values) ?? null;
  return {
    cpu: cpu(named('system.cpu.utilization'), named('system.cpu.time'), cores),
    load: named('system.cpu.load_average.1m').map(s => ({ name: '1m', values: s.values })),
    memory: by(named('system.memory.usage'), ['system.memory.state', 'state'], MEMORY_STATES),
    disk: by(named('system.disk.io'), ['disk.io.direction', 'direction'], DISK),
    network: by(named('system.network.io'), ['network.io.direction', 'direction'], NETWORK),
    disks: disks(
      named('system.filesystem.utilization'),
      named('system.filesystem.usage'),
      named('system.filesystem.limit'),
    ),
    cores,
    limit: last(named('system.memory.limit')[0]?.values) ?? null,
    uptime: last(named('system.uptime')[0]?.values) ?? null,
  };
}

/** The newest value that was measured. */
export const last = (values: Values | undefined): number | null => values?.findLast(v => v !== null) ?? null;

const attribute = (s: MetricSeries, keys: string[]): string => {
  for (const k of keys) if (s.attributes[k]) return s.attributes[k];
  return '';
};

/** Series added up by an attribute, in the order of its wanted values; those that nothing was measured for are left out. */
function by(series: MetricSeries[], keys: string[], wanted: string[]): Line[] {
  return wanted
    .map(name => ({ name, values: sum(series.filter(s => attribute(s, keys) === name).map(s => s.values)) }))
    .filter(line => line.values.length > 0);
}

function sum(all: Values[]): Values {
  const n = Math.max(0, ...all.map(v => v.length));
  return Array.from({ length: n }, (_, i) =>
    all.reduce<number | null>((s, v) => (v[i] == null ? s : (s ?? 0) + v[i]), null),
  );
}

/** Utilization where it is sent, else the time counters' rate; both may come one a processor. */
function cpu(utilization: MetricSeries[], time: MetricSeries[], cores: number | null): Line[] {
  const series = utilization.length ? utilization : time,
    numbers = new Set(series.map(s => attribute(s, ['cpu.logical_number', 'cpu'])).filter(Boolean)).size,
    parts = Math.max(1, numbers || (utilization.length ? 1 : (cores ?? 1)));
  const modes = by(series, ['cpu.mode', 'state'], Object.values(CPU_MODES).flat());
  return Object.entries(CPU_MODES)
    .map(([name, of]) => ({ name, values: sum(modes.filter(m => of.includes(m.name)).map(m => m.values)) }))
    .filter(line => line.values.length > 0)
    .map(line => ({ name: line.name, values: line.values.map(v => (v === null ? null : v / parts)) }));
}

function disks(utilization: MetricSeries[], usage: MetricSeries[], limit: MetricSeries[]): Disk[] {
  const MOUNT = ['system.filesystem.mountpoint', 'mountpoint'],
    STATE = ['system.filesystem.state', 'state'],
    found = new Map<string, Disk>();
  for (const mount of new Set(usage.map(s => attribute(s, MOUNT)))) {
    const states = usage.filter(s => attribute(s, MOUNT) === mount),
      whole = last(limit.find(s => attribute(s, MOUNT) === mount)?.values),
      size = whole ?? states.reduce((n, s) => n + (last(s.values) ?? 0), 0),
      used = last(states.find(s => attribute(s, STATE) === 'used')?.values) ?? 0;
    if (size > 0) found.set(mount, { mount, used: used / size, size });
  }
  for (const s of utilization) {
    const mount = attribute(s, MOUNT),
      used = last(s.values);
    if (used !== null) found.set(mount, { mount, used, size: found.get(mount)?.size ?? null });
  }
  return [...found.values()]
    .filter(d => d.mount && !NO_DISK.test(d.mount))
    .sort((a, b) => a.mount.localeCompare(b.mount));
}
