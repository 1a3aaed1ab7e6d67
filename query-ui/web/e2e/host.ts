import { attributes, send, type Weir } from './weir';

export const HOST = 'node-3';

/** A host that measured for ten minutes of a point each ten seconds. */
export async function measure(weir: Weir): Promise<void> {
  const now = Date.now(),
    N = 60;
  const gauge = (name: string, of: Record<string, string>, value: number) => ({
    name,
    gauge: {
      dataPoints: Array.from({ length: N }, (_, i) => ({
        attributes: attributes(of),
        timeUnixNano: `${now - (N - i) * 10_000}000000`,
        asDouble: value,
      })),
    },
  });
  await send(weir, 'metrics', {
    resourceMetrics: [
      {
        resource: { attributes: attributes({ 'host.name': HOST, 'os.description': 'Debian 12' }) },
        scopeMetrics: [
          {
            scope: { name: 'e2e' },
            metrics: [
              gauge('system.cpu.utilization', { 'cpu.mode': 'user' }, 0.25),
              gauge('system.cpu.logical.count', {}, 16),
              gauge('system.memory.usage', { 'system.memory.state': 'used' }, 38e9),
              gauge('system.memory.limit', {}, 64e9),
              gauge('system.filesystem.utilization', { 'system.filesystem.mountpoint': '/' }, 0.78),
              gauge(
                'process.cpu.utilization',
                { 'process.pid': '812', 'process.executable.name': 'java' },
                1.82,
              ),
            ],
          },
        ],
      },
    ],
  });
}
