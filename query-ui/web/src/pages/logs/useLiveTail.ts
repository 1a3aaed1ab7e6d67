/** Lines as they arrive. What comes while the reader looks elsewhere waits; the newest come first. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { api } from '../../api/client';
import type { Log } from '../../api/types';
import { merge } from '../../model/lines';

/** Lines that are kept; older ones fall out at the end. */
export const LIVE_KEPT = 5000;
/** A reader can't follow faster, and every render costs. */
const FLUSH_MS = 250;

export interface LiveTail {
  lines: Log[];
  /** Lines that came since the list was paused. */
  waiting: number;
  /** Lines that the server left out because this reader was too slow. */
  dropped: number;
  /** 'closed': the server refused; nothing comes until `again`. */
  state: 'off' | 'connecting' | 'open' | 'closed';
  again: () => void;
}

export function useLiveTail(q: string, on: boolean, paused: boolean, onOpen: () => void): LiveTail {
  const [lines, setLines] = useState<Log[]>([]),
    [waiting, setWaiting] = useState(0),
    [dropped, setDropped] = useState(0),
    [state, setState] = useState<LiveTail['state']>('off'),
    [attempt, setAttempt] = useState(0);
  const held = useRef<{ lines: Log[]; count: number }>({ lines: [], count: 0 }),
    stopped = useRef(paused),
    opened = useRef(onOpen);
  opened.current = onOpen;
  const flush = useCallback(() => {
    const { lines: next, count } = held.current;
    if (stopped.current) {
      setWaiting(count);
      return;
    }
    if (count === 0) return;
    held.current = { lines: [], count: 0 };
    setWaiting(0);
    setLines(old => merge(next, old).slice(0, LIVE_KEPT));
  }, []);
  useEffect(() => {
    stopped.current = paused;
    flush();
  }, [paused, flush]);
  useEffect(() => {
    held.current = { lines: [], count: 0 };
    setLines([]);
    setWaiting(0);
    setDropped(0);
    if (!on) {
      setState('off');
      return;
    }
    setState('connecting');
    const source = api.tail({ q });
    source.onopen = () => {
      setState('open');
      // What was stored before the tail began, and between two connections, comes from the store.
      opened.current();
    };
    source.onerror = () => setState(source.readyState === EventSource.CLOSED ? 'closed' : 'connecting');
    source.addEventListener('logs', e => {
      const { logs } = JSON.parse(e.data as string) as { logs: Log[] },
        h = held.current;
      h.count += logs.length;
      h.lines = [...h.lines, ...logs].slice(-LIVE_KEPT);
    });
    source.addEventListener('dropped', e => {
      const { count } = JSON.parse(e.data as string) as { count: number };
      setDropped(n => n + count);
    });
    const timer = setInterval(flush, FLUSH_MS);
    return () => {
      clearInterval(timer);
      source.close();
    };
  }, [q, on, attempt, flush]);
  const again = useCallback(() => setAttempt(n => n + 1), []);
  return { lines, waiting, dropped, state, again };
}
