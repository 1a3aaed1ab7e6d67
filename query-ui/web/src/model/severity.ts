/** OpenTelemetry severity numbers in the four steps that the marks distinguish. */
export type Level = 'err' | 'warn' | 'info' | 'none';

export const level = (severity: number): Level =>
  severity >= 17 ? 'err' : severity >= 13 ? 'warn' : severity >= 9 ? 'info' : 'none';
/** Class of a mark: 2 error, 1 warning, 0 all else. */
export const rank = (severity: number): 0 | 1 | 2 => (severity >= 17 ? 2 : severity >= 13 ? 1 : 0);
const NAMES = ['UNSET', 'TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
/** The producer's own word where it has one; some write a number of their own scale, which says nothing here. */
export const severityName = (severity: number, text = ''): string =>
  (/[a-z]/i.test(text) ? text : '') ||
  NAMES[severity <= 0 ? 0 : Math.min(6, Math.floor((severity - 1) / 4) + 1)];
export const nameRank = (name: string): 0 | 1 | 2 =>
  /^(error|fatal|critical|severe)/i.test(name) ? 2 : /^warn/i.test(name) ? 1 : 0;
