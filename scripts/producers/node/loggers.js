// Writes the lines of one npm logger: `node loggers.js NAME`.
const trace_id = '4bf92f3577b34da6a3ce929d0e0e4736';
const span_id = '00f067aa0ba902b7';

function charge() {
  throw new TypeError('card declined: "no funds"');
}

function failure() {
  try {
    charge();
  } catch (cause) {
    return new Error('payment failed', { cause });
  }
}

const later = () => new Promise((done) => setTimeout(done, 7));

const producers = {
  async 'node-pino'() {
    const log = require('pino')({ level: 'trace' });
    log.info('listening');
    await later();
    const order = log.child({ trace_id, span_id });
    order.info({ items: 3, responseTime: 12.5 }, 'order placed');
    await later();
    order.warn({ tags: { vip: true, shops: [1, 2] } }, 'slow "payment" 付款');
    await later();
    order.error({ err: failure() }, 'payment failed');
    await later();
    log.trace({ name: 'cache' }, 'deep');
    log.fatal('stopping');
  },

  async 'node-winston'() {
    const { createLogger, format, transports } = require('winston');
    const log = createLogger({
      level: 'silly',
      format: format.combine(format.errors({ stack: true }), format.timestamp(), format.json()),
      defaultMeta: { service: 'shop' },
      transports: [new transports.Console()],
    });
    log.info('listening');
    await later();
    log.info('order placed', { trace_id, span_id, items: 3, durationMs: 12.5 });
    await later();
    log.warn('slow "payment" 付款');
    await later();
    log.error(failure());
    await later();
    log.http('GET /cart 200');
    log.silly('deep');
  },

  async 'node-bunyan'() {
    const log = require('bunyan').createLogger({ name: 'shop', level: 'debug', src: false });
    log.info('listening');
    await later();
    log.info({ trace_id, span_id, items: 3 }, 'order placed');
    await later();
    log.warn('slow "payment" 付款');
    await later();
    log.error(failure(), 'payment failed');
    await later();
    log.debug('deep');
  },

  // Node prints the source line, the error with its cause, and its version to standard error.
  async 'node-uncaught'() {
    console.error('listening on :8080');
    console.error('order placed');
    process.nextTick(() => {
      throw failure();
    });
  },

  async 'node-console'() {
    console.error('listening on :8080');
    console.error('could not pay:', failure());
    console.error('retrying');
    Promise.reject(Object.assign(new RangeError('too many items'), { code: 'E_ITEMS', limit: 10 }));
  },
};

producers[process.argv[2]]();
